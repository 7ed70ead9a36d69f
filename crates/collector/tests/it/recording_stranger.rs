//! A recording that came from a stranger: a replay of it ends, and reads nothing outside of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

use crate::recording::{record, replay};
use crate::support::program::{Run, World};

/// A recording of `-s --host`.
fn recorded() -> (World, PathBuf) {
    let mut world = World::new();
    world.healthy_host();
    world.program("who", "echo 'canary-1 pts/0        Nov 22 20:11'");
    let dir = world.path("recording");
    record(&world, &dir, &["-s", "--host", "--mount", "/"]).exits(0);
    replay(&dir).exits(0);
    (world, dir)
}

/// A replay that ends at once.
fn soon(dir: &Path) -> Run {
    let begun = Instant::now();
    let run = replay(dir);
    assert!(begun.elapsed() < Duration::from_secs(10));
    run
}

#[test]
fn what_is_no_file_is_named_and_not_opened() {
    let (world, dir) = recorded();
    let outside = world.path("outside");
    fs::write(&outside, "canary-9 pts/0        Nov 22 20:11\n").unwrap();
    for name in [
        "commands/who.1.out",
        "commands/who.1.err",
        "root/proc/meminfo",
        "args",
        "state/cursors/x.json",
        "kubernetes/1.request",
    ] {
        let path = dir.join(name);
        let whole = fs::read(&path).ok();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let run = soon(&dir).exits(2).says("neither a folder nor a file");
        assert_eq!(run.stdout, "");
        for target in [Path::new("/dev/zero"), &outside] {
            fs::remove_file(&path).unwrap();
            symlink(target, &path).unwrap();
            soon(&dir)
                .exits(2)
                .says(name)
                .says("neither a folder nor a file")
                .lacks("canary-9");
        }
        fs::remove_file(&path).unwrap();
        if let Some(whole) = whole {
            fs::write(&path, whole).unwrap();
        }
    }
    // A folder that is one of the host.
    fs::rename(dir.join("root"), world.path("elsewhere")).unwrap();
    symlink(world.path("elsewhere"), dir.join("root")).unwrap();
    soon(&dir).exits(2).says("neither a folder nor a file");
    fs::remove_file(dir.join("root")).unwrap();
    fs::rename(world.path("elsewhere"), dir.join("root")).unwrap();
    soon(&dir).exits(0);
    fs::remove_file(dir.join("round.json")).unwrap();
    nix::unistd::mkfifo(&dir.join("round.json"), Mode::S_IRUSR).unwrap();
    soon(&dir).exits(2).says("is no recording");
}

#[test]
fn what_is_too_large_is_not_read() {
    let (_world, dir) = recorded();
    for (name, length) in [
        ("root/proc/meminfo", 17_u64 << 20),
        ("commands/who.1.err", 17 << 20),
        ("commands/who.1.out", (1 << 30) + 1),
        ("kubernetes/1.answer", (1 << 30) + 1),
    ] {
        let path = dir.join(name);
        let whole = fs::read(&path).ok();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A hole, which takes no room.
        fs::File::create(&path).unwrap().set_len(length).unwrap();
        soon(&dir).exits(2).says(name).says("too large");
        match whole {
            Some(whole) => fs::write(&path, whole).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    for number in 1..=65 {
        let path = dir.join(format!("commands/other.{number}.args"));
        fs::File::create(path).unwrap().set_len(16 << 20).unwrap();
    }
    soon(&dir).exits(2).says("are too large");
}

#[test]
fn a_run_cannot_be_repeated_for_ever() {
    let (_world, dir) = recorded();
    let times = dir.join("commands/who.1.times");
    for number in ["99999999999", "10001", "0", "-1", "many"] {
        fs::write(&times, number).unwrap();
        soon(&dir)
            .exits(2)
            .says("who.1.times is no number up to 10000");
    }
    fs::write(&times, "10000\n").unwrap();
    soon(&dir).exits(0);
}
