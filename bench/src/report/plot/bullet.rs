//! A gate's value against its goal, as small as a word.

use maud::{Markup, html};

use crate::report::digest::gap::Gap;
use crate::report::plot::{Scale, across};
use crate::result::GateResult;

/// The goal is in the middle; ends are a third and three times of it.
const FACTOR: f64 = 3.0;

/// The side that meets the goal is tinted. None where there is nothing to place.
pub fn bullet(gate: &GateResult) -> Option<Markup> {
    let gap = Gap::of(gate).filter(|gap| gap.bound > 0.0)?;
    let scale = Scale::Log { low: 1.0 / FACTOR, high: FACTOR };
    let at = |value: f64| across(scale.at(value / gap.bound));
    let value = gate.value?;
    let range = gate.low.zip(gate.high).filter(|(low, high)| low.is_finite() && high.is_finite());
    let class = if gate.met { "bullet met" } else { "bullet missed" };
    Some(html! {
        svg xmlns="http://www.w3.org/2000/svg" class=(class) width="132" height="18" role="img" {
            title { (gate.name) ": " @if gate.met { (gap.spare()) } @else { (gap.text()) } }
            rect class="track" width="100%" y="6" height="6" rx="3" {}
            rect class="side" x=(if gap.at_most { "0" } else { "50%" }) width="50%" y="6" height="6"
                rx="3" {}
            @if let Some((low, high)) = range {
                line class="range" x1=(at(low)) x2=(at(high)) y1="9" y2="9" {}
            }
            line class="goal" x1="50%" x2="50%" y1="1" y2="17" {}
            use href="#m0" x=(at(value)) y="9" {}
        }
    })
}
