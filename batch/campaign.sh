#!/bin/bash
#SBATCH --job-name=campaign --output=%x-%j.log --open-mode=append
#SBATCH --nodes=2 --ntasks-per-node=1 --exclusive --time=12:00:00
#SBATCH --requeue --signal=B:USR1@300
# A whole campaign inside one allocation, from the repository's root: sbatch --nodes=4 batch/campaign.sh CAMPAIGN
# bash batch/campaign.sh --plan CAMPAIGN shows what would run. With RESUBMIT=1 it queues again when its time is up; else submit it again.
set -euo pipefail
run() { exec "$@"; } # in the background, so that signals reach this shell at once
if [ "${1:-}" = --plan ]; then run() { printf '%q ' "$@"; echo; }; shift; fi
if [ -f .venv/bin/activate ]; then . .venv/bin/activate; fi
CAMPAIGN=${1:-campaigns/w_sigma5.yaml}
RUN=${RUN:-runs/$(basename "$CAMPAIGN" .yaml)} AGAIN= CODE=0

trap 'AGAIN=1; kill -USR1 $!' USR1 # 300 s before the end: the driver finishes what it can and pauses
run gcd-hpc campaign "$CAMPAIGN" --run-dir "$RUN" ${SITE:+--site "$SITE"} &
wait $! || wait $! || CODE=$? # a signal ends the first wait, not the driver
if [ -n "$AGAIN" ] && [ "${RESUBMIT:-0}" = 1 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $CODE
