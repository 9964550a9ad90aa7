//! A rope does what one buffer of its bytes would do, whatever is done to it.

use bytes::Buf as _;
use sluice_proto::grpc::Rope;

/// The fuzz body: two bytes are one thing to do, and how much.
pub fn run(input: &[u8]) {
    let (mut rope, mut model) = (Rope::new(), Vec::new());
    let mut pushed = 0_u8;
    for step in input.chunks_exact(2) {
        let amount = usize::from(step[1]);
        if step[0] % 9 == 0 {
            let piece: Vec<u8> = (0..amount).map(|_| next(&mut pushed)).collect();
            model.extend_from_slice(&piece);
            rope.push(piece.into());
        } else {
            take(step[0] % 9, amount, &mut rope, &mut model);
        }
        check(&rope, &model);
    }
    assert_eq!(rope.into_pieces().collect::<Vec<_>>().concat(), model);
}

fn next(pushed: &mut u8) -> u8 {
    *pushed = pushed.wrapping_add(1);
    *pushed
}

fn take(what: u8, amount: usize, rope: &mut Rope, model: &mut Vec<u8>) {
    let fit = amount.min(model.len());
    match what {
        1 => {
            let piece = rope.pop_front(amount).unwrap_or_default();
            assert!(piece.len() <= amount && (piece.is_empty() == (fit == 0)));
            assert!(model.drain(..piece.len()).eq(piece));
        }
        2 => {
            let taken = rope.split_to(fit);
            assert_eq!(taken.len(), fit);
            assert!(model.drain(..fit).eq(taken.into_pieces().flatten()));
        }
        3 => {
            let mut start = vec![0; amount];
            assert_eq!(rope.peek(&mut start), fit);
            assert_eq!(start[..fit], model[..fit]);
        }
        4 => assert!(model.drain(..fit).eq(rope.take_copy(fit))),
        5 => rope.unpin(),
        6 => {
            rope.advance(fit);
            model.drain(..fit);
        }
        7 => assert!(model.drain(..fit).eq(rope.copy_to_bytes(fit))),
        _ => {
            // Put together anew of its own pieces, the first one cut.
            let first = rope.split_to(fit);
            let rest = std::mem::take(rope);
            *rope = first.into_pieces().chain(rest.into_pieces()).collect();
        }
    }
}

fn check(rope: &Rope, model: &[u8]) {
    assert_eq!((rope.len(), rope.remaining()), (model.len(), model.len()));
    assert_eq!(rope.is_empty(), model.is_empty());
    assert!(rope.pieces().all(|piece| !piece.is_empty()));
    assert!(rope.pieces().flat_map(|piece| piece.iter()).eq(model));
    assert!(model.starts_with(rope.chunk()) && rope.chunk().is_empty() == model.is_empty());
}
