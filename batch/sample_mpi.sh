#!/bin/bash
#SBATCH --job-name=sample --output=%x-%j.log --open-mode=append
#SBATCH --nodes=2 --ntasks-per-node=1 --time=01:00:00
#SBATCH --requeue --signal=B:USR1@120
# Sample model VERSION of a trained campaign, from the repository's root: sbatch --nodes=4 --ntasks-per-node=16 batch/sample_mpi.sh CAMPAIGN
# bash batch/sample_mpi.sh --plan CAMPAIGN shows what would run. Chunks on disk are done: a requeued job makes the others.
set -euo pipefail
run() { exec "$@"; } # in the background, so that signals reach this shell at once
if [ "${1:-}" = --plan ]; then run() { printf '%q ' "$@"; echo; }; shift; fi
if [ -f .venv/bin/activate ]; then . .venv/bin/activate; fi
CAMPAIGN=${1:-campaigns/w_sigma5.yaml} VERSION=${VERSION:-1}
RUN=${RUN:-runs/$(basename "$CAMPAIGN" .yaml)}

trap 'scontrol requeue "$SLURM_JOB_ID"' USR1 # 120 s before the end
# A lost rank ends the others, which would wait for it. pmi2 is for MPICH and its kin; "srun --mpi=list" names what else there is. MPI=pmix suits Open MPI.
run srun --kill-on-bad-exit=1 --mpi="${MPI:-pmi2}" python -m gcd_hpc.stages.sample "$RUN" "$VERSION" &
wait $!
