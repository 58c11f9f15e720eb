#!/bin/bash
# start.sh DIR: a Slurm of two machines, n1 and n2 of one core each, on this one, as root, without systemd and cgroups; then SLURM_CONF=DIR/slurm.conf.
# To stop it, kill the processes of DIR/*.pid.
set -eu
d=$(mkdir -p "$1" && cd "$1" && pwd)
mkdir -p "$d/state" "$d/spool-n1" "$d/spool-n2"
head -c 128 /dev/urandom >"$d/munge.key"
chmod 600 "$d/munge.key"
sed "s#@DIR@#$d#g; s#@HOST@#$(hostname -s)#g" "$(dirname "$0")/slurm.conf.in" >"$d/slurm.conf"
munged --force --key-file="$d/munge.key" --socket="$d/munge.socket" --pid-file="$d/munged.pid" --log-file="$d/munged.log" --seed-file="$d/munge.seed"
slurmctld -i -f "$d/slurm.conf"
for n in n1 n2; do slurmd -N $n -f "$d/slurm.conf"; done
