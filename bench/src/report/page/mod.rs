//! The report: one HTML file with all in it, for people who decide by it.
//!
//! Text reaches the page through `maud`, which escapes it; only the style, which is ours, doesn't.

mod gates;
mod head;
mod headline;
mod latency;
mod lines;
mod losses;
mod machine;
mod matrix;
mod offered;
mod peers;
mod run_cards;
mod runs;
mod settings;
mod sizes;
mod table;
#[cfg(test)]
mod tests;
mod time;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::digest::{Digest, RunDigest};
use crate::report::plot;
use crate::result::SuiteResult;

const STYLE: &str = include_str!("style.css");

/// A part of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    /// What is in it, or why there is nothing.
    body: Markup,
}

/// The whole file.
pub fn html(result: &SuiteResult) -> String {
    let digest = Digest::new(result);
    let section = |id, title, body| Section { id, title, body };
    let sections = [
        section("headline", "In short", headline::body(&digest)),
        section("gates", "Gates", gates::body(&digest)),
        section("peers", "Side by side", peers::body(&digest)),
        section("latency", "Latency", latency::body(&digest)),
        section("offered-load", "Past saturation", offered::body(&digest)),
        section("chunk-size", "By chunk size", sizes::body(&digest)),
        section("matrix", "Matrix", matrix::body(&digest)),
        section("time", "Over time", time::body(&digest)),
        section("losses", "Where we lose", losses::body(&digest)),
        section("runs", "Every run", runs::body(&digest)),
        section("settings", "Settings", settings::body(&digest)),
        section("machine", "Machine and method", machine::body(&digest)),
    ];
    page(&digest, &sections).into_string()
}

fn page(digest: &Digest<'_>, sections: &[Section]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Sluice bench: " (digest.result.suite) " · " (digest.result.began) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (plot::definitions())
                (head::body(digest))
                nav aria-label="Sections" {
                    ul {
                        @for section in sections {
                            li { a href={ "#" (section.id) } { (section.title) } }
                        }
                    }
                }
                main {
                    @for section in sections {
                        section id=(section.id) aria-labelledby={ (section.id) "-h" } {
                            h2 id={ (section.id) "-h" } { (section.title) }
                            (section.body)
                        }
                    }
                }
            }
        }
    }
}

/// Said where a suite has nothing for a section.
fn absent(why: &str) -> Markup {
    html! { p.absent { (why) } }
}

/// The name of a run, leading to what is told of it.
fn link(run: &RunDigest<'_>) -> Markup {
    html! {
        span.swatch.(run.class()) {}
        a href={ "#run-" (run.nth) } { (run.run.name) }
    }
}
