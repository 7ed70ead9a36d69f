//! Which glibc a program needs: the versions of the symbols that it takes from shared libraries, as its
//! own table says (`readelf -V` shows it).

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{ElfFile64, FileHeader as _};

/// Of RHEL 7 and its rebuilds, the oldest Linux that facilities still run.
pub const OLDEST: (u32, u32) = (2, 17);

/// `GLIBC_2.17` and the like, with the library that must have it, sorted; fails where it is no ELF of
/// 64 bits or needs nothing by version, as then it was not understood, or not linked as it should be.
pub fn needs(elf: &[u8]) -> Result<Vec<(String, String)>> {
    let file: ElfFile64<Endianness> = ElfFile64::parse(elf)?;
    let endian = file.endian();
    let sections = file.elf_section_table();
    let (mut libraries, strings) = sections
        .gnu_verneed(endian, elf)?
        .context("no table of needed versions")?;
    let strings = FileHeader64::<Endianness>::parse(elf)?
        .sections(endian, elf)?
        .strings(endian, elf, strings)?;
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let mut needs = Vec::new();
    while let Some((library, mut versions)) = libraries.next()? {
        let from = text(library.file(endian, strings)?);
        while let Some(version) = versions.next()? {
            needs.push((text(version.name(endian, strings)?), from.clone()));
        }
    }
    if needs.is_empty() {
        bail!("it needs no version of anything");
    }
    needs.sort();
    Ok(needs)
}

/// What no glibc of that age has: newer versions of its own, private ones, and all that is not glibc's.
pub fn too_new(needs: &[(String, String)], oldest: (u32, u32)) -> Vec<String> {
    needs
        .iter()
        .filter(|(version, _)| glibc(version).is_none_or(|needed| needed > oldest))
        .map(|(version, library)| format!("{version} of {library}"))
        .collect()
}

/// Of `GLIBC_2.2.5` (2, 2): what comes after that never decides.
fn glibc(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("GLIBC_")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Prints the newest glibc that a program needs, and fails where that is newer than it may be.
pub fn check(program: &Path) -> Result<()> {
    let name = program.display();
    let elf = std::fs::read(program).with_context(|| name.to_string())?;
    let needs = needs(&elf).with_context(|| format!("{name}: the versions it needs"))?;
    let too_new = too_new(&needs, OLDEST);
    if !too_new.is_empty() {
        bail!(
            "{name} does not run on glibc {}.{}, it needs {}: was it built by cargo zigbuild?",
            OLDEST.0,
            OLDEST.1,
            too_new.join(", ")
        );
    }
    let newest = needs.iter().filter_map(|(version, _)| glibc(version)).max();
    if let Some((major, minor)) = newest {
        println!("{name}: glibc {major}.{minor} or newer");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(version: &str) -> (String, String) {
        (version.to_owned(), "libc.so.6".to_owned())
    }

    #[test]
    fn an_executable_says_what_it_needs() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&own).unwrap();
        let of_glibc: Vec<_> = needs
            .into_iter()
            .filter(|(_, from)| from == "libc.so.6")
            .collect();
        assert!(!of_glibc.is_empty());
        assert_eq!(too_new(&of_glibc, (2, 999)), [] as [String; 0]);
        assert!(!too_new(&of_glibc, (2, 1)).is_empty());
        assert!(super::needs(&own[..own.len() / 2]).is_err());
        assert!(super::needs(b"#!/bin/sh\n").is_err());
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for old in ["GLIBC_2.2.5", "GLIBC_2.4", "GLIBC_2.17"] {
            assert_eq!(too_new(&[need(old)], OLDEST), [] as [String; 0], "{old}");
        }
        for new in [
            "GLIBC_2.18",
            "GLIBC_2.34",
            "GLIBC_3.0",
            "GLIBC_PRIVATE",
            "GLIBCXX_3.4",
        ] {
            assert_eq!(
                too_new(&[need(new)], OLDEST),
                [format!("{new} of libc.so.6")]
            );
        }
    }
}
