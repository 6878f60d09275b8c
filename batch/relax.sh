#!/bin/bash
#SBATCH --job-name=relax --output=%x-%j.log --open-mode=append
#SBATCH --nodes=2 --ntasks-per-node=1 --time=04:00:00
#SBATCH --requeue --signal=B:USR1@120
# Relax the candidates of model VERSION, one process a core, from the repository's root: sbatch --ntasks-per-node=64 batch/relax.sh CAMPAIGN
# bash batch/relax.sh --plan CAMPAIGN shows what would run. Chunks on disk are done: a requeued job relaxes the others.
set -euo pipefail
run() { exec "$@"; } # in the background, so that signals reach this shell at once
if [ "${1:-}" = --plan ]; then run() { printf '%q ' "$@"; echo; }; shift; fi
if [ -f .venv/bin/activate ]; then . .venv/bin/activate; fi
CAMPAIGN=${1:-campaigns/w_sigma5.yaml} VERSION=${VERSION:-1}
RUN=${RUN:-runs/$(basename "$CAMPAIGN" .yaml)}

trap 'scontrol requeue "$SLURM_JOB_ID"' USR1 # 120 s before the end
run srun python -m gcd_hpc.stages.relax "$RUN" "$VERSION" &
wait $!
