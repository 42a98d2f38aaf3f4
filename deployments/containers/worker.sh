#!/bin/sh
# What the worker's container runs: the work pool and the deployments are put in place (again, where they are there already),
# then runs are waited for.
set -eu
cd /opt/nextclose
prefect --no-prompt work-pool create nextclose --type process --overwrite
prefect --no-prompt deploy --all --prefect-file deployments/prefect.yaml
exec prefect worker start --pool nextclose --type process --limit 3
