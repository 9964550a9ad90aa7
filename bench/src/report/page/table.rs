//! Tables, each in a box of its own: where the page is narrow the box scrolls, never the page.

use maud::{Markup, html};

use crate::report::digest::Spread;
use crate::report::number::{short, with_unit};

/// The box. Whoever uses a keyboard can reach and scroll it.
pub fn boxed(caption: &str, table: &Markup) -> Markup {
    html! {
        div.box tabindex="0" role="region" aria-label=(caption) { (table) }
    }
}

/// `1.50 (1.40–1.60)`; a dash without a value.
pub fn spread(spread: Option<Spread>) -> Markup {
    in_unit(spread, "")
}

/// The same in a unit that is shown with each number: bytes alone.
pub fn in_unit(spread: Option<Spread>, unit: &str) -> Markup {
    let shown = |value| if unit == "bytes" { with_unit(value, unit) } else { short(value) };
    html! {
        @match spread {
            None => span.none { "–" },
            Some(spread) => {
                (shown(spread.median))
                @if spread.low < spread.high {
                    " " small { (shown(spread.low)) "–" (shown(spread.high)) }
                }
            }
        }
    }
}

/// A value; a dash without one.
pub fn value(value: Option<f64>) -> Markup {
    html! {
        @match value {
            None => span.none { "–" },
            Some(value) => (short(value)),
        }
    }
}
