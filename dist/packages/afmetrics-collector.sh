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
    echo "$package: Rounds of any user, also by cron lines of root or nobody, read $settings. It has no secrets: they are in files of their own."
    note_owner
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

# systemd gives the folder to its unit's user, before 235 (RHEL 7) it does not know StateDirectory=. A job of cron may still use it.
note_owner() {
    [ -d "$state" ] || return 0
    owner=$(stat -c %U "$state")
    [ "$owner" != "$user" ] || return 0
    cat <<END
$package: $state belongs to $owner, whose rounds by cron probably made it. Where systemd is older than
235 (RHEL 7), and for cron lines of $user, nothing else gives it to $user. When the job of $owner has ended:
    chown -R $user:$user $state
END
}

# What nobody has received stays, and so does what a job of another user, or a person, has there; counters and cursors go.
purge() {
    [ -d "$state" ] || return 0
    owner=$(stat -c %U "$state")
    if [ "$owner" != "$user" ]; then
        echo "$package: $state is kept: it belongs to $owner, whose rounds may go on. If nobody needs it: rm -r $state"
        return 0
    fi
    for folder in pending rejected damaged; do
        if [ -n "$(find "$state/spool/$folder" -type f 2>/dev/null | head -n 1)" ]; then
            echo "$package: $state is kept: documents that were not delivered are in $state/spool/$folder. If nobody needs them: rm -r $state"
            return 0
        fi
    done
    rm -rf "$state/cursors" "$state/locks" "$state/spool"
    rmdir "$state" 2>/dev/null || echo "$package: $state is kept: other things than ours are in it. If nobody needs them: rm -r $state"
}
