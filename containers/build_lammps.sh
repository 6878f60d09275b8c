#!/bin/bash
# Build LAMMPS with its Python module, Kokkos and the MPI that mpi4py has, and install it into the running Python.
#   bash containers/build_lammps.sh [FOLDER] [MORE OPTIONS OF CMAKE]
# for example   -D Kokkos_ENABLE_CUDA=on -D Kokkos_ARCH_HOPPER90=on     (H100; AMPERE80 is A100)
#          or   -D Kokkos_ENABLE_HIP=on -D Kokkos_ARCH_AMD_GFX90A=on -D CMAKE_CXX_COMPILER=hipcc    (MI250X; AMD_GFX942_APU is MI300A)
# The MPI is the one whose mpicc and mpicxx come first on PATH: build mpi4py by the same one. Sources lie in FOLDER, which is kept.
set -euo pipefail
FOLDER=${1:-lammps}
VERSION=${LAMMPS_VERSION:-stable_22Jul2025_update4}
if [ ! -d "$FOLDER" ]; then
    git clone --depth 1 --branch "$VERSION" https://github.com/lammps/lammps.git "$FOLDER"
fi
# MANYBODY has the embedded-atom, Tersoff and Stillinger-Weber potentials. Add the package of yours: -D PKG_MEAM=on, -D PKG_ML-SNAP=on.
cmake -S "$FOLDER/cmake" -B "$FOLDER/build" -D CMAKE_BUILD_TYPE=Release -D BUILD_SHARED_LIBS=on -D BUILD_MPI=on -D BUILD_OMP=on \
    -D PKG_MANYBODY=on -D PKG_OPT=on -D PKG_OPENMP=on -D PKG_KOKKOS=on -D Kokkos_ENABLE_SERIAL=on "${@:2}"
cmake --build "$FOLDER/build" --parallel "${JOBS:-8}"
# Installing alone does not build the library.
cmake --build "$FOLDER/build" --target install-python
# Both libraries of this process must be the same MPI: else LAMMPS calls one that nobody has initialised.
python3 -c 'from mpi4py import MPI; import lammps; library = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"]); print(MPI.Get_library_version().splitlines()[0], library.installed_packages)'
