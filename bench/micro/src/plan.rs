//! Where bytes go: parts of an object, slices of the spool.

use std::hint::black_box;

use sluice_shard::{
    extents::Extents,
    parts::{PART_BYTES_BASE, PART_BYTES_MAX, Plan},
};

use crate::Scenario;

/// Of parts and extents.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "plan_parts",
        round: "the schedules of 40 sizes and of none, and 64 parts of each",
        bytes: 0,
        begin: parts,
    },
    Scenario {
        name: "plan_spool",
        round: "256 slices of the spool taken, and freed in another order",
        bytes: 0,
        begin: spool,
    },
];

fn parts() -> Box<dyn FnMut()> {
    let plan = Plan {
        part_bytes_base: PART_BYTES_BASE,
        part_bytes_max: PART_BYTES_MAX,
        single_put_bytes: 16 << 20,
        equal_part_bytes: None,
    };
    let sizes: Vec<_> = (5..45).map(|power| Some(1 << power)).chain([None]).collect();
    Box::new(move || {
        for &size_bytes in black_box(&sizes) {
            let schedule = plan.schedule(size_bytes).expect("the sizes fit");
            let step_bytes = (schedule.object_bytes_max() / 64).max(1);
            for offset in (0..64).map(|nth| nth * step_bytes) {
                black_box(schedule.part_at(black_box(offset)));
            }
        }
    })
}

fn spool() -> Box<dyn FnMut()> {
    let mut extents = Extents::new(1 << 20, 1 << 30);
    let mut taken = Vec::new();
    Box::new(move || {
        for nth in 0..256 {
            taken.push(extents.take(1 + nth * 1_000, 0).expect("the spool has room"));
        }
        for first in 0..16 {
            taken.iter().skip(first).step_by(16).for_each(|&extent| {
                black_box(extents.free(extent));
            });
        }
        taken.clear();
    })
}
