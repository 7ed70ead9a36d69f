//! How users and this node are called when they leave, for each who hears of them.

use afmetrics_document::names::{HostRule, Rules, UserRule};

use super::report::Row;
use crate::config::{Config, Target};
use crate::context::Context;
use crate::documents::Audience;
use crate::{has_digit, node_name};

/// A row for each audience.
pub fn rows(config: &Config, cx: &Context) -> Vec<Row> {
    let rules = config.publisher.audiences().iter();
    rules
        .zip(&config.audiences)
        .enumerate()
        .map(|(number, (rules, audience))| row(number, rules, audience, config, cx))
        .collect()
}

fn row(number: usize, rules: &Rules, audience: &Audience, config: &Config, cx: &Context) -> Row {
    let to = match &config.target {
        _ if config.local_audience == Some(number) => "this node's /metrics",
        Target::Endpoints(endpoints) => endpoints.get(number).map_or("", |one| &one.name),
        Target::Files => "files (-d)",
        Target::Print => "standard output",
    };
    let mut found = vec![
        users(rules, config),
        format!("this node is {}", node(number, rules, config, cx)),
    ];
    if let Some(group) = &audience.group {
        found.push(format!("only users of the group {group}"));
    }
    if let Some(kinds) = &audience.kinds {
        found.push(format!("only {}", kinds.join(", ")));
    }
    if audience.measures_only {
        found.push("numbers, and no user's name".to_owned());
    }
    let row = Row::ok(format!("names to {to}"), found.join("; "));
    let row = match &rules.users {
        UserRule::Hashed { salt, .. } if salt.is_empty() => row.at_least_warn().advise(
            "Without a salt, whoever has a list of user names finds each by its hash. One salt for all nodes of the facility, \
             kept for good, as another one makes everybody somebody else:\n\
             test -e /etc/afmetrics/salt || (umask 027; openssl rand -hex 32 > /etc/afmetrics/salt; chgrp afmetrics /etc/afmetrics/salt)\n\
             [privacy]\n\
             salt_file = \"/etc/afmetrics/salt\"",
        ),
        _ => row,
    };
    match &rules.hosts {
        HostRule::Digits { .. } if !has_digit(&node_name(config)) => {
            row.at_least_warn().advise(
                "This node's name has no digits, so it is called as every other such node is. Give each its own:\nlogin_node = \"login01\"",
            )
        }
        _ => row,
    }
}

fn users(rules: &Rules, config: &Config) -> String {
    match &rules.users {
        UserRule::Clear => "users as they are".to_owned(),
        UserRule::Hashed { scheme, salt } => {
            let salt = match salt.is_empty() {
                true => "without a salt",
                false => "with a salt",
            };
            let unstated = match config.unstated_scheme == Some(*scheme) {
                true => " (no hash was named)",
                false => "",
            };
            format!("users as {} {salt}{unstated}", scheme.describe())
        }
    }
}

/// Where any audience may not hear the clear name, it does not stand in the report either.
fn node(number: usize, rules: &Rules, config: &Config, cx: &Context) -> String {
    match config.publisher.hides_hosts() && !rules.hides_hosts() {
        true => "called by its own name".to_owned(),
        false => cx
            .login_node
            .heard_by(number)
            .unwrap_or_default()
            .to_owned(),
    }
}
