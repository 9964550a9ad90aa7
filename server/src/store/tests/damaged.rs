use super::*;
use crate::store::{Filter, Found, LiveUploads, Room, Stage};

fn id(seed: u8) -> UploadId {
    UploadId::new(NODE, STORE, [seed; 15])
}

fn make(kept: &Kept, seed: u8, end: &[Transition]) {
    let record = UploadRecord { upload_id: id(seed), ..record() };
    let steps = [&[Transition::Create(Box::new(record))], end].concat();
    kept.take_steps(id(seed), 1, 5, &steps).unwrap();
}

fn list(kept: &Kept) -> Vec<UploadId> {
    let filter = Filter {
        tenant: "t".into(),
        drive_id: DriveId::parse("d").unwrap(),
        request_id: None,
        filename: String::new(),
        stage: Stage::Any,
    };
    let room = Room { items: 9, bytes: 1 << 20, rows: 99 };
    let stretch = kept.list(&filter, 0, room);
    assert_eq!(stretch.next, None);
    let told = stretch.found.into_iter().map(|found| match found {
        Found::Live(upload_id) => upload_id,
        Found::AtRest(view) => view.record.upload_id,
    });
    told.collect()
}

#[test]
fn an_upload_that_is_damaged_keeps_nobody_from_the_others() {
    for kept in Kept::empty() {
        let swept = [Transition::End { state: State::Aborted, error: None }, Transition::CleanedUp];
        for (seed, end) in [(0, &[][..]), (1, &[]), (2, &swept), (3, &swept)] {
            make(&kept, seed, end);
        }
        for seed in [0, 2] {
            kept.set_node(id(seed), "no node/");
        }
        let LiveUploads { uploads, damaged } = kept.load_all();
        let live: Vec<_> = uploads.iter().map(|upload| upload.record.upload_id).collect();
        assert_eq!((live, damaged), (vec![id(1)], vec![id(0)]));
        // Its owner will say that it can't be read, if the list doesn't see that already.
        let found = list(&kept).into_iter().filter(|upload_id| *upload_id != id(0));
        assert_eq!(found.collect::<Vec<_>>(), [id(1), id(3)]);
        assert_eq!(kept.load_one(id(0), 9), Loaded::Damaged);
        assert_eq!(kept.load_one(id(2), 9), Loaded::Damaged);
        // Somebody mends them.
        for seed in [0, 2] {
            kept.set_node(id(seed), "n");
        }
        assert_eq!(kept.load_open().len(), 2);
        assert_eq!(list(&kept), [0, 1, 2, 3].map(id));
    }
}
