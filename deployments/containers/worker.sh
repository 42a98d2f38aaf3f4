#!/bin/sh
# What the worker's container runs: the work pool and the deployments are put in place (again, where they are there already),
# then runs are waited for. The automations are put in place as well: the worker knows
# the settings, and so who is told.
set -eu
cd /opt/nextclose
prefect --no-prompt work-pool create nextclose --type process --overwrite
prefect --no-prompt deploy --all --prefect-file deployments/prefect.yaml
python -m deployments.automations
exec prefect worker start --pool nextclose --type process --limit 3
