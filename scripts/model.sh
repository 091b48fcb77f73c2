#!/usr/bin/env bash
# model.sh [--optional] HARK NAME: fetches model NAME with the binary HARK unless it is there and whole.
# With --optional a failure is a warning: the tests that need the model then say so and skip.
set -euo pipefail

optional=no
if [ "$1" = --optional ]; then optional=yes; shift; fi
hark=$1 name=$2

echo "== model: $name"
if "$hark" models pull "$name"; then exit 0; fi
if [ "$optional" = yes ]; then
  echo "model: $name could not be fetched; the tests that need it will be skipped" >&2
  exit 0
fi
echo "model: $name could not be fetched. It needs the network once; see 'hark models list' for its sources" >&2
exit 3
