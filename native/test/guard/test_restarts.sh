#!/bin/sh
# Sixty of the thousand restarts that restarts.sh makes. Runs in native/.
exec sh test/guard/restarts.sh 60 7
