//! The gates, one a row.

use maud::{Markup, html};

use crate::report::digest::Digest;
use crate::report::digest::gap::{self, Gap};
use crate::report::number::with_unit;
use crate::report::page::{absent, link, table};
use crate::report::plot::bullet;
use crate::result::GateResult;

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let gates = &digest.result.gates;
    if gates.is_empty() {
        return absent("This suite has no gates.");
    }
    let rows = html! {
        table.gates {
            thead {
                tr {
                    th scope="col" { "Gate" }
                    th scope="col" { "Verdict" }
                    th.n scope="col" { "Goal" }
                    th.n scope="col" { "Value" }
                    th.n scope="col" { "Low–high" }
                    th scope="col" { "Against the goal" }
                    th scope="col" { "Note" }
                }
            }
            tbody { @for gate in gates { (row(digest, gate)) } }
        }
    };
    html! {
        p.lead {
            "Each value is the median over the rounds; ratios are taken round by round, between \
             runs that took turns. In the small picture the stroke is the goal, the tinted side \
             meets it, and the ends are a third and three times of it."
        }
        (table::boxed("Gates", &rows))
    }
}

fn row(digest: &Digest<'_>, gate: &GateResult) -> Markup {
    let unit = gap::unit(gate);
    let shown = |value: f64| with_unit(value, unit);
    let range = gate.low.zip(gate.high).filter(|_| gate.value.is_some());
    html! {
        tr {
            th scope="row" {
                (gate.name)
                @if !gate.runs.is_empty() {
                    small.of { @for run in gate.runs.iter() { (made_of(digest, run)) } }
                }
            }
            td { (pill(gate)) }
            td.n { (gap::goal(gate)) }
            td.n { b { (gate.value.map_or("–".into(), shown)) } }
            td.n { (range.map_or("–".into(), |(low, high)| format!("{}–{}", shown(low), shown(high)))) }
            td.picture { (bullet(gate).unwrap_or_default()) " " (amount(gate)) }
            td.note { (gate.note.as_deref().unwrap_or_default()) }
        }
    }
}

fn made_of(digest: &Digest<'_>, run: &str) -> Markup {
    html! {
        span { @match digest.named(run) { Some(run) => (link(run)), None => (run) } }
    }
}

/// Met, missed, or without a value.
pub fn pill(gate: &GateResult) -> Markup {
    html! {
        @if gate.met { span.pill.good { "✓ met" } }
        @else if gate.value.is_some() { span.pill.bad { "✗ missed" } }
        @else { span.pill.bad { "✗ no value" } }
    }
}

fn amount(gate: &GateResult) -> String {
    match Gap::of(gate) {
        None => String::new(),
        Some(gap) if gate.met => gap.spare(),
        Some(gap) => gap.text(),
    }
}
