//! Where notebooks run, and by which label users are known there.

use anyhow::{Result, bail};

use crate::cli::{NotebookFlags, NotebookKind};

/// A place where notebooks run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notebooks {
    pub namespace: String,
    /// Somebody asked for it; if not, it may be missing.
    pub by_name: bool,
    pub label: Label,
    pub kind: NotebookKind,
}

/// A Kubernetes label selector, and the label in it whose value is the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub selector: String,
    pub key: String,
}

impl Label {
    /// The key is what the selector begins with: `owner`, `owner=x`, `owner in (x, y),app!=z`.
    pub fn parse(selector: &str) -> Result<Self> {
        let selector = selector.trim();
        let end = selector
            .find(|c: char| c.is_whitespace() || "=!,()".contains(c))
            .unwrap_or(selector.len());
        if end == 0 {
            bail!("-l {selector:?} does not begin with the label that names the user (-l owner)");
        }
        Ok(Self {
            selector: selector.to_owned(),
            key: selector[..end].to_owned(),
        })
    }
}

/// Where notebooks run: as the file says, or else as the flags and the old script have it.
pub fn notebooks(
    namespace: Option<String>,
    label: &str,
    listed: Vec<NotebookFlags>,
) -> Result<Vec<Notebooks>> {
    if listed.is_empty() {
        return Ok(vec![
            Notebooks {
                by_name: namespace.is_some(),
                namespace: namespace.unwrap_or_else(|| "af-jupyter".to_owned()),
                label: Label::parse(label)?,
                kind: NotebookKind::JupyterMl,
            },
            Notebooks {
                namespace: "coffea-casa".to_owned(),
                by_name: false,
                label: Label::parse("jhub_user")?,
                kind: NotebookKind::JupyterCoffea,
            },
        ]);
    }
    listed
        .into_iter()
        .map(|flags| {
            Ok(Notebooks {
                namespace: flags.namespace,
                by_name: !flags.optional,
                label: Label::parse(&flags.label)?,
                kind: flags.kind,
            })
        })
        .collect()
}
