//! How each server was set: a comparison is worth what its settings are worth.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::report::digest::{Digest, RunDigest, class};
use crate::report::page::{absent, link, table};

/// A server in one of its settings, and the runs that had it.
struct Set<'a, 'd> {
    server: &'a str,
    settings: &'a BTreeMap<String, String>,
    command: &'a str,
    runs: Vec<&'d RunDigest<'a>>,
}

/// Run names that are shown; a series has very many.
const NAMED: usize = 6;

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let sets = sets(digest);
    if sets.is_empty() {
        return absent("Nothing was run.");
    }
    let rows = html! {
        table.settings {
            thead {
                tr {
                    th scope="col" { "Server" }
                    th scope="col" { "Settings" }
                    th scope="col" { "Command" }
                    th scope="col" { "Runs" }
                }
            }
            tbody { @for set in &sets { (row(set)) } }
        }
    };
    html! {
        p.lead { "All that was set; what isn't here had its default." }
        (table::boxed("Settings", &rows))
    }
}

fn sets<'a, 'd>(digest: &'d Digest<'a>) -> Vec<Set<'a, 'd>> {
    let mut sets: Vec<Set<'a, 'd>> = Vec::new();
    for digest in &digest.runs {
        let run = digest.run;
        let same = |set: &&mut Set<'a, 'd>| {
            (set.server, set.settings, set.command) == (&run.server, &run.settings, &run.command)
        };
        match sets.iter_mut().find(same) {
            Some(set) => set.runs.push(digest),
            None => sets.push(Set {
                server: &run.server,
                settings: &run.settings,
                command: &run.command,
                runs: vec![digest],
            }),
        }
    }
    sets
}

fn row(set: &Set<'_, '_>) -> Markup {
    html! {
        tr {
            th scope="row" { span.swatch.(class(set.server)) {} (set.server) }
            td {
                @if set.settings.is_empty() { span.none { "defaults" } }
                @else {
                    dl.pairs {
                        @for (name, value) in set.settings {
                            div { dt { (name) } dd { (value) } }
                        }
                    }
                }
            }
            td { @if !set.command.is_empty() { code { (set.command) } } }
            td {
                @for run in set.runs.iter().take(NAMED) { (link(run)) " " }
                @if set.runs.len() > NAMED { "and " (set.runs.len() - NAMED) " more" }
            }
        }
    }
}
