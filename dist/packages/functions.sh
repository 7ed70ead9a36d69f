# What the scripts of both packages do, on Debian and with rpm. Before it comes the file of the package.

# systemd-sysusers where it is, as it keeps to what the site says in /etc/sysusers.d; else by hand.
make_user() {
    if [ -f "/usr/lib/sysusers.d/$sysusers" ] && command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "$sysusers" || true
    fi
    getent group "$user" >/dev/null || groupadd --system "$user"
    getent passwd "$user" >/dev/null ||
        useradd --system --gid "$user" --home-dir "$state" --no-create-home --shell /usr/sbin/nologin --comment "$comment" "$user"
}

# One that is there stays as it is: a job of cron may use it as another user.
make_state() {
    [ -e "$state" ] || install -d -m 0700 -o "$user" -g "$user" "$state"
}

# Not in a chroot or a container.
systemd_runs() {
    [ -d /run/systemd/system ] && command -v systemctl >/dev/null
}

reload() {
    if systemd_runs; then
        systemctl daemon-reload || true
    fi
}

# What runs is restarted, nothing else is started. That one does not start is no reason to leave a package half installed.
restart() {
    systemd_runs || return 0
    for unit in $units; do
        systemctl try-restart "$unit" || echo "$unit was not restarted: systemctl status $unit says why" >&2
    done
}

stop_and_disable() {
    if systemd_runs; then
        systemctl stop $units $further || true
    fi
    if command -v systemctl >/dev/null; then
        systemctl --quiet disable $units || true
    fi
}

first_steps() {
    echo "$package: nothing is started yet. Edit $settings, then: systemctl enable --now UNIT, one of: $units"
}
