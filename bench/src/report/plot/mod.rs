//! Pictures as SVG that grows with its page: places across are in percent, places down and letters
//! in pixels, so that letters stay as large on a telephone as on a wall.
//!
//! Colours are classes of the page's style, which knows the theme; a line is also told apart by its
//! dashes and its marks.

mod bars;
mod bullet;
mod chart;
mod scale;

use maud::{Markup, html};

pub use bars::{Bar, Part, bars};
pub use bullet::bullet;
pub use chart::{Axis, Chart, Line, Point};
pub use scale::Scale;

/// Kinds of marks, and of dashes.
const MARKS: usize = 4;

/// What pictures refer to: once a page.
pub fn definitions() -> Markup {
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width="0" height="0" class="defs" aria-hidden="true" {
            defs {
                circle id="m0" r="3.6" {}
                path id="m1" d="M-3.5-3.5h7v7h-7z" {}
                path id="m2" d="M0-5 5 0 0 5-5 0z" {}
                path id="m3" d="M0-4.6 4.6 3.6h-9.2z" {}
                pattern id="stripes" width="4" height="4" patternUnits="userSpaceOnUse"
                    patternTransform="rotate(45)" {
                    rect width="1.6" height="4" fill="currentColor" {}
                }
            }
        }
    }
}

/// What stands for which line.
pub fn legend(lines: &[Line]) -> Markup {
    html! {
        ul.legend {
            @for line in lines {
                li {
                    svg xmlns="http://www.w3.org/2000/svg" class=(line.class) width="30" height="12"
                        aria-hidden="true" {
                        line class={ "l d" (line.nth % MARKS) } x1="0" y1="6" x2="30" y2="6" {}
                        @if line.dots { use href={ "#m" (line.nth % MARKS) } x="15" y="6" {} }
                    }
                    span { (line.label) }
                }
            }
        }
    }
}

/// A place across.
fn across(part: f64) -> String {
    format!("{}%", trimmed(part * 100.0))
}

/// A place down, or a part of a thousand: a digit behind the point is enough for eyes.
fn trimmed(value: f64) -> String {
    assert!(value.is_finite(), "only numbers are drawn");
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
