#!/bin/bash
#SBATCH --job-name=train --output=%x-%j.log --open-mode=append
#SBATCH --nodes=2 --ntasks-per-node=1 --exclusive --time=04:00:00
#SBATCH --requeue --signal=B:USR1@120
# Train model VERSION of a campaign on all nodes of the job, from the repository's root: sbatch --nodes=4 batch/train_ddp.sh CAMPAIGN
# bash batch/train_ddp.sh --plan CAMPAIGN shows what would run. A lost node requeues the job; training goes on from its checkpoint.
set -euo pipefail
run() { exec "$@"; } # in the background, so that signals reach this shell at once
if [ "${1:-}" = --plan ]; then run() { printf '%q ' "$@"; echo; }; shift; SLURM_JOB_ID=1 SLURM_NNODES=2 RDZV_HOST=FIRST_NODE; fi
if [ -f .venv/bin/activate ]; then . .venv/bin/activate; fi
CAMPAIGN=${1:-campaigns/w_sigma5.yaml} VERSION=${VERSION:-1} AGAIN= CODE=0
RUN=${RUN:-runs/$(basename "$CAMPAIGN" .yaml)} TRY=${SLURM_RESTART_COUNT:-0}
# Under this name or address all nodes reach the first one, on a port that no earlier try has used.
HOST=${RDZV_HOST:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)} PORT=$((20000 + (SLURM_JOB_ID + 1000 * TRY) % 10000))

trap 'AGAIN=1; kill -USR1 $!' USR1 # 120 s before the end: the driver of search and selection pauses
run gcd-hpc campaign "$CAMPAIGN" --run-dir "$RUN" --site campaigns/sites/local.yaml --until "$(printf select-%02d "$VERSION")" &
wait $! || wait $! || [ -n "$AGAIN" ] # a signal ends the first wait, not the driver
if [ -n "$AGAIN" ]; then exec scontrol requeue "$SLURM_JOB_ID"; fi
trap 'AGAIN=1; scancel --signal=TERM "$SLURM_JOB_ID"' USR1 # to the step, not to this shell: training writes its checkpoint and ends
run srun --kill-on-bad-exit=1 --cpu-bind=none torchrun --nnodes="$SLURM_NNODES" --nproc-per-node="${PROCESSES_PER_NODE:-${SLURM_GPUS_ON_NODE:-1}}" \
    --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID-$TRY" --rdzv-endpoint="$HOST:$PORT" -m gcd_hpc.stages.train "$RUN" "$VERSION" &
wait $! || wait $! || CODE=$?
# Three times also after a failure. Seen: a minute after a loss Slurm gives the new step a signal that was meant for the lost node.
if [ -n "$AGAIN" ] || { [ $CODE != 0 ] && [ "$TRY" -lt 3 ]; }; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $CODE
