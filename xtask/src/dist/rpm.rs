//! The .rpm, by rpmbuild: it finds what the program needs of the C library by itself, so that an older
//! Linux refuses the package instead of the program not starting.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::dist::contents::{self, File, Kind, Package};
use crate::dist::programs::bounded;
use crate::dist::release::Release;
use crate::dist::scripts::script;
use crate::programs::ends_well;

pub const SCRIPTS: [&str; 4] = ["pre", "post", "preun", "postun"];

/// What rpmbuild shall do other than it would: nothing to the files, and nothing of this machine and
/// moment into the package. xz and SHA-256 are what rpm 4.11 of RHEL 7 reads.
const MACROS: [(&str, &str); 11] = [
    ("debug_package", "%{nil}"),
    ("__os_install_post", "%{nil}"),
    ("_build_id_links", "none"),
    ("_binary_payload", "w6.xzdio"),
    ("_binary_filedigest_algorithm", "8"),
    ("_source_filedigest_algorithm", "8"),
    ("_buildhost", "localhost"),
    ("use_source_date_epoch_as_buildtime", "1"),
    ("clamp_mtime_to_source_date_epoch", "1"),
    ("_rpmfilename", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm"),
    ("_docdir", "/usr/share/doc"),
];

/// Makes a package of what was built, and returns it.
pub fn make(release: &Release, package: &Package, version: &str, out: &Path) -> Result<PathBuf> {
    let version = &contents::packaged(version);
    let work = release.work.join("rpm").join(package.name);
    contents::empty(&work)?;
    let files = release.files(package)?;
    let folder = work.join("files");
    for file in &files {
        contents::place(file, &folder, &file.to)?;
    }
    contents::settle(&folder, release.epoch)?;
    let scripts = SCRIPTS
        .iter()
        .map(|moment| Ok((*moment, script(&release.tree, package, "rpm", moment)?)))
        .collect::<Result<Vec<_>>>()?;
    let spec = work.join("package.spec");
    fs::write(&spec, spec_text(package, version, &files, &scripts))
        .with_context(|| spec.display().to_string())?;
    let mut rpmbuild = bounded(600, "rpmbuild");
    rpmbuild.env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    for (name, value) in MACROS {
        rpmbuild.arg("--define").arg(format!("{name} {value}"));
    }
    for (name, at) in [
        ("_topdir", &work),
        ("_rpmdir", &out.to_owned()),
        ("files_of", &folder),
    ] {
        rpmbuild
            .arg("--define")
            .arg(format!("{name} {}", at.display()));
    }
    ends_well(
        rpmbuild
            .args(["-bb", "--quiet", "--target", release.machine.name])
            .arg(&spec)
            .stdout(std::process::Stdio::null()),
    )?;
    Ok(out.join(format!(
        "{}-{version}-1.{}.rpm",
        package.name, release.machine.name
    )))
}

fn spec_text(
    package: &Package,
    version: &str,
    files: &[File],
    scripts: &[(&str, String)],
) -> String {
    let mut spec = format!(
        "Name: {}\nVersion: {version}\nRelease: 1\nSummary: {}\nLicense: MIT OR Apache-2.0\n\
         Group: Applications/System\nPackager: The afmetrics authors <afmetrics@localhost>\n\
         Requires(pre): /usr/sbin/useradd, /usr/sbin/groupadd, /usr/bin/getent\n\n\
         %description\n{}\n\n%install\nmkdir -p %{{buildroot}}\ncp -a %{{files_of}}/. %{{buildroot}}/\n",
        package.name, package.summary, package.description,
    );
    for (moment, script) in scripts {
        spec.push_str(&format!("\n%{moment}\n{}", script.replace('%', "%%")));
    }
    spec.push_str("\n%files\n%defattr(-, root, root, 0755)\n%dir /etc/afmetrics\n");
    for folder in folders(package, files) {
        spec.push_str(&format!("%dir /{folder}\n"));
    }
    for file in files {
        let config = match file.kind {
            Kind::Config => "%config(noreplace) ",
            _ => "",
        };
        let mode = file.kind.mode();
        spec.push_str(&format!(
            "%attr(0{mode:o}, root, root) {config}/{}\n",
            file.to
        ));
    }
    spec
}

/// Those of the documents, which are no other package's: rpm removes only folders that a package has.
fn folders<'a>(package: &Package, files: &'a [File]) -> BTreeSet<&'a str> {
    let own = format!("usr/share/doc/{}", package.name);
    files
        .iter()
        .filter_map(|file| Some(file.to.rsplit_once('/')?.0))
        .filter(|folder| folder.starts_with(&own))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_file_has_modes_owners_and_scripts() {
        let file = |to: &str, kind| File {
            from: PathBuf::new(),
            to: to.to_owned(),
            archive: String::new(),
            kind,
        };
        let files = [
            file("etc/afmetrics/collector.toml", Kind::Config),
            file("etc/logrotate.d/afmetrics_collector", Kind::Config),
            file("usr/bin/afmetrics_collector", Kind::Program),
            file(
                "usr/share/doc/afmetrics-collector/docs/kinds.md",
                Kind::Plain,
            ),
        ];
        let scripts = [("post", "stat -c %G x\n".to_owned())];
        let text = spec_text(&contents::PACKAGES[0], "1.2.3", &files, &scripts);
        for line in [
            "Version: 1.2.3",
            "%post",
            "stat -c %%G x",
            "%dir /usr/share/doc/afmetrics-collector/docs",
            "%attr(0644, root, root) %config(noreplace) /etc/afmetrics/collector.toml",
            "%attr(0644, root, root) %config(noreplace) /etc/logrotate.d/afmetrics_collector",
            "%attr(0755, root, root) /usr/bin/afmetrics_collector",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
