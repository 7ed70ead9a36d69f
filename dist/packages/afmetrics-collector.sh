user=afmetrics
comment="afmetrics collector"
state=/var/lib/afmetrics
settings=/etc/afmetrics/collector.toml
sysusers=afmetrics_collector.conf
# What may be enabled; and what else may run.
units="afmetrics_collector.timer afmetrics_collector.service"
further="afmetrics_collector_round.service"

# What a person must know now.
notes() {
    old=/usr/local/bin/afmetrics_collector
    if [ -f "$old" ] && [ "$(head -c 2 "$old")" = '#!' ]; then
        cat <<END
afmetrics-collector: $old is a script, probably the old collector. Cron lines that name it,
and whoever types afmetrics_collector, still run the script. When you want the new one there:
    mv $old $old.old
    ln -s /usr/bin/afmetrics_collector $old
What changes by that: /usr/share/doc/afmetrics-collector/docs/replacing-the-old-script.md
END
    fi
}

# What nobody has received stays; counters and cursors go.
purge() {
    [ -d "$state" ] || return 0
    for folder in pending rejected damaged; do
        if [ -n "$(find "$state/spool/$folder" -type f 2>/dev/null | head -n 1)" ]; then
            echo "afmetrics-collector: $state is kept: documents that were not delivered are in $state/spool/$folder. If nobody needs them: rm -r $state"
            return 0
        fi
    done
    rm -rf "$state"
}
