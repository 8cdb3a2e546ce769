#!/bin/sh
# Some hundred of the ten thousand kills that kills.sh makes. Runs in native/.
exec sh test/guard/kills.sh 300 7
