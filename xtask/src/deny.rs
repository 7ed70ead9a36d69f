//! `cargo xtask deny`: what the programs are made of, as `deny.toml` allows it, by cargo-deny. That takes minutes to
//! install; so the tests here ask less of the same: licences, where crates come from, which are there twice, and that no
//! package of ours has a build script.

use anyhow::{Result, bail};

use crate::programs::{ends_well, program};

/// What can be checked without a network; the list of advisories is fetched.
const OFFLINE: [&str; 3] = ["licenses", "bans", "sources"];

pub fn run(words: &[String]) -> Result<()> {
    let checks: &[&str] = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => &OFFLINE,
        ["--advisories"] => &["licenses", "bans", "sources", "advisories"],
        _ => bail!("`cargo xtask deny` knows only --advisories, which needs the network"),
    };
    let is_there = program("cargo")
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_there {
        bail!("cargo-deny is not there: cargo install --locked cargo-deny");
    }
    ends_well(
        program("cargo")
            .args(["deny", "--locked", "check"])
            .args(checks),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    /// What cargo says of where a crate is from, if that is a registry.
    const REGISTRY: &str = "registry+";

    fn rules() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deny.toml");
        fs::read_to_string(path).unwrap()
    }

    /// What stands in quotes in the list that begins with this line.
    fn listed(rules: &str, from: &str) -> BTreeSet<String> {
        let (_, list) = rules.split_once(&format!("\n{from}\n")).unwrap();
        list.lines()
            .take_while(|line| *line != "]")
            .filter(|line| !line.trim_start().starts_with('#'))
            .filter_map(|line| Some(line.split_once('"')?.1.split_once('"')?.0.to_owned()))
            .collect()
    }

    /// The packages that are built for the systems of `deny.toml`.
    fn packages(rules: &str) -> Vec<Value> {
        let (_, targets) = rules.split_once("\ntargets = ").unwrap();
        let targets: Vec<String> = serde_json::from_str(targets.lines().next().unwrap()).unwrap();
        let mut metadata = program("cargo");
        metadata.args(["metadata", "--locked", "--format-version", "1"]);
        for target in &targets {
            metadata.args(["--filter-platform", target]);
        }
        let output = metadata.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let built: BTreeSet<String> = list(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| node["id"].to_string())
            .collect();
        let mut packages = list(&metadata["packages"]);
        packages.retain(|package| built.contains(&package["id"].to_string()));
        assert!(packages.len() > 100);
        packages
    }

    fn text<'a>(package: &'a Value, field: &str) -> &'a str {
        package[field].as_str().unwrap_or_default()
    }

    /// Whether a licence expression (SPDX) can be met by what is allowed. `/` is an old way to write OR.
    fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
        let spaced = expression
            .replace('/', " OR ")
            .replace('(', " ( ")
            .replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut rest = &words[..];
        let is_met = one_of(&mut rest, allowed);
        is_met && rest.is_empty()
    }

    fn one_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
        let mut is_met = all_of(rest, allowed);
        while let ["OR", more @ ..] = *rest {
            *rest = more;
            is_met |= all_of(rest, allowed);
        }
        is_met
    }

    fn all_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
        let mut is_met = licence(rest, allowed);
        while let ["AND", more @ ..] = *rest {
            *rest = more;
            is_met &= licence(rest, allowed);
        }
        is_met
    }

    fn licence(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
        match *rest {
            ["(", more @ ..] => {
                *rest = more;
                let is_met = one_of(rest, allowed);
                *rest = rest.strip_prefix(&[")"]).unwrap_or_default();
                is_met
            }
            [name, "WITH", exception, more @ ..] => {
                *rest = more;
                allowed.contains(&format!("{name} WITH {exception}"))
            }
            [name, more @ ..] => {
                *rest = more;
                allowed.contains(*name)
            }
            [] => false,
        }
    }

    #[test]
    fn licence_expressions_are_understood() {
        let allowed =
            BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned));
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("Unlicense/MIT", true),
            ("GPL-3.0-only AND MIT", false),
            ("GPL-3.0-only AND MIT OR ISC", true),
            ("(GPL-3.0-only OR MIT) AND ISC", true),
            ("(GPL-3.0-only OR MIT) AND 0BSD", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("", false),
        ] {
            assert_eq!(is_met(expression, &allowed), expected, "{expression}");
        }
    }

    /// No licence but those with a reason, no crate but of one registry, no build script of ours.
    #[test]
    fn every_crate_may_be_here() {
        let rules = rules();
        let allowed = listed(&rules, "allow = [");
        assert!(allowed.contains("MIT"));
        let mut own = 0;
        let mut sources = BTreeSet::new();
        for package in packages(&rules) {
            let name = text(&package, "name");
            let expression = text(&package, "license");
            assert!(is_met(expression, &allowed), "{name}: {expression}");
            if !package["source"].is_null() {
                let source = text(&package, "source").to_owned();
                assert!(source.starts_with(REGISTRY), "{name}: {source}");
                sources.insert(source);
                continue;
            }
            own += 1;
            let targets = package["targets"].as_array().unwrap();
            let is_script = |target: &Value| target["kind"][0] == "custom-build";
            assert!(!targets.iter().any(is_script), "{name} has a build script");
        }
        assert!(own >= 4);
        assert_eq!(sources.len(), 1, "{sources:?}");
    }

    /// A crate that is there twice has its reason, and a reason has its crate.
    #[test]
    fn every_crate_that_is_there_twice_has_a_reason() {
        let rules = rules();
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for package in packages(&rules) {
            let name = text(&package, "name").to_owned();
            let version = text(&package, "version").to_owned();
            versions.entry(name).or_default().insert(version);
        }
        versions.retain(|_, versions| versions.len() > 1);
        let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
        for one in listed(&rules, "skip = [") {
            let (name, version) = one.split_once('@').unwrap();
            let is_there = versions.get(name).is_some_and(|all| all.contains(version));
            assert!(is_there, "{one} is not there twice any more");
            *skipped.entry(name.to_owned()).or_default() += 1;
        }
        for (name, versions) in versions {
            let reasons = skipped.get(&name).copied().unwrap_or_default();
            assert_eq!(
                reasons + 1,
                versions.len(),
                "{name} is there as {versions:?}: deny.toml"
            );
        }
    }
}
