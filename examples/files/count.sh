#!/bin/sh
# Counts the lines of FILE in which WORD stands: count.sh WORD FILE
grep -c -i -w -e "$1" -- "$2" || [ "$?" -eq 1 ]
