//! A shard's memory for chunks: charged and given back.

use std::hint::black_box;

use sluice_shard::budget::Budget;

use crate::Scenario;

/// Of the budget.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "budget",
    round: "128 charges, every other ahead of its front, some refused; all given back",
    bytes: 0,
    begin: charge_and_refund,
}];

fn charge_and_refund() -> Box<dyn FnMut()> {
    let mut budget = Budget::new(100 << 20, 1 << 20);
    let mut charges = Vec::with_capacity(128);
    Box::new(move || {
        for nth in 0..128 {
            charges.extend(budget.charge(black_box(1 << 20), nth % 2 == 0));
        }
        for charge in charges.drain(..) {
            budget.refund(charge);
        }
        assert_eq!(budget.used_bytes(), 0);
    })
}
