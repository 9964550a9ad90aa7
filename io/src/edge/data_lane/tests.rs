use super::*;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut all = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    all.extend_from_slice(payload);
    all
}

/// What h2 gets, what the streams get, and the rest, for a wire cut every `step` bytes.
fn split(frames: &[Vec<u8>], step: usize) -> (Vec<u8>, Vec<u8>, Vec<Piece>) {
    let wire = [vec![b'P'; PREFACE], frames.concat()].concat();
    let (mut splitter, mut out) = (Splitter::new(64), Vec::new());
    wire.chunks(step).for_each(|c| splitter.push(Bytes::copy_from_slice(c), &mut out));
    let (mut control, mut data, mut rest) = (vec![], vec![], vec![]);
    for piece in out {
        match piece {
            Piece::Control(bytes) => control.extend_from_slice(&bytes),
            Piece::Data { bytes, .. } => data.extend_from_slice(&bytes),
            other => rest.push(other),
        }
    }
    (control.split_off(PREFACE), data, rest)
}

#[test]
fn payloads_part_from_the_rest_however_the_wire_is_cut() {
    let open = frame(HEADERS, 4, 1, b"head");
    let frames = [open.clone(), frame(DATA, 0, 1, b"one"), frame(DATA, END_STREAM, 1, b"two")];
    for step in 1..80 {
        let (control, data, rest) = split(&frames, step);
        assert_eq!(control, open);
        assert_eq!(data, b"onetwo");
        assert_eq!(rest, [Piece::Opened { stream: 1 }, Piece::PayloadEnded { stream: 1 }]);
    }
}

#[test]
fn what_is_odd_goes_to_h2_whole() {
    let open = frame(HEADERS, 4, 1, b"head");
    for odd in [
        frame(DATA, PADDED, 1, b"\x03ab"),
        frame(DATA, PADDED, 1, b""),
        frame(DATA, 0, 3, b"unknown"),
    ] {
        let (stream, bytes) = (u32::from(odd[8]), odd.len() - HEADER);
        let frames = [open.clone(), odd];
        for step in 1..80 {
            let (control, data, rest) = split(&frames, step);
            assert_eq!((control, data), (frames.concat(), vec![]));
            let foreign = Piece::Foreign { stream, bytes };
            assert_eq!(rest, [Piece::Opened { stream: 1 }, foreign]);
        }
    }
}

#[test]
fn padding_is_taken_off_and_counted() {
    let open = frame(HEADERS, 4, 1, b"head");
    let frames = [
        open.clone(),
        frame(DATA, PADDED, 1, b"\x02ab\0\0"),
        frame(DATA, PADDED, 1, b"\x01\0"),
        frame(DATA, PADDED | END_STREAM, 1, b"\x00c"),
    ];
    for step in 1..80 {
        let (control, data, rest) = split(&frames, step);
        assert_eq!(control, open);
        assert_eq!(data, b"abc");
        let padding = |bytes| Piece::Padding { stream: 1, bytes };
        let ended = Piece::PayloadEnded { stream: 1 };
        let opened = Piece::Opened { stream: 1 };
        assert_eq!(rest, [opened, padding(3), padding(2), padding(1), ended]);
    }
}

#[test]
fn a_reset_stream_is_told_and_then_closed() {
    let frames = [
        frame(HEADERS, 4, 1, b"head"),
        frame(RST_STREAM, 0, 1, &[0; 4]),
        frame(DATA, 0, 1, b"late"),
    ];
    let late = Piece::Foreign { stream: 1, bytes: 4 };
    let told = vec![Piece::Opened { stream: 1 }, Piece::Reset { stream: 1 }, late];
    assert_eq!(split(&frames, 7), (frames.concat(), vec![], told));
}

#[test]
fn frames_longer_than_their_limit_are_told_from_their_header_alone() {
    let open = frame(HEADERS, 4, 1, b"head");
    for kind in [DATA, HEADERS, 6, 99] {
        let mut long = frame(kind, 0, 1, b"");
        long[..3].copy_from_slice(&(CONTROL_BYTES_MAX as u32 + 1).to_be_bytes()[1..]);
        let (control, data, rest) = split(&[open.clone(), long], 5);
        assert_eq!((control, data), (open.clone(), vec![]));
        assert_eq!(rest, [Piece::Opened { stream: 1 }, Piece::TooLong]);
    }
    let (_, _, rest) = split(&[open, frame(DATA, 0, 1, &[0; 65])], 5);
    assert_eq!(rest, [Piece::Opened { stream: 1 }, Piece::TooLong]);
}

#[test]
fn what_comes_late_on_a_stream_that_we_reset_is_dropped_and_counted() {
    let mut splitter = Splitter::new(64);
    let mut out = Vec::new();
    let open = frame(HEADERS, 4, 1, b"head");
    splitter.push([vec![b'P'; PREFACE], open].concat().into(), &mut out);
    splitter.close(1);
    out.clear();
    let late = [frame(DATA, 0, 1, b"late"), frame(DATA, END_STREAM, 1, b"r"), frame(6, 0, 0, b"")];
    for byte in late.concat() {
        splitter.push(Bytes::copy_from_slice(&[byte]), &mut out);
    }
    let foreign = |bytes| Piece::Foreign { stream: 1, bytes };
    let ping = Piece::Control(Bytes::from(frame(6, 0, 0, b"")));
    assert_eq!(out, [foreign(4), foreign(1), ping]);
}

#[test]
fn unknown_frames_are_dropped_but_not_inside_a_header_block() {
    let (open, unknown) = (frame(HEADERS, 4, 1, b"head"), frame(99, 0, 1, b"what"));
    let (control, _, _) = split(&[open.clone(), unknown.clone(), open.clone()], 3);
    assert_eq!(control, [open.clone(), open].concat());
    let half = [frame(HEADERS, 0, 1, b"head"), unknown, frame(DATA, 0, 1, b"data")];
    let (control, data, _) = split(&half, 3);
    assert_eq!((control, data), (half.concat(), vec![]));
}

#[test]
fn frames_that_bring_nothing_cost_and_those_that_do_pay_back() {
    let balance = |frames: &[Vec<u8>]| {
        let mut splitter = Splitter::new(1 << 20);
        let wire = [vec![b'P'; PREFACE], frames.concat()].concat();
        splitter.push(wire.into(), &mut Vec::new());
        splitter.take_cost()
    };
    let open = frame(HEADERS, 4, 1, b"head");
    let opened = balance(std::slice::from_ref(&open));
    assert!(opened < 0);
    let after = |second: Vec<u8>| balance(&[open.clone(), second]) - opened;
    assert_eq!(after(frame(6, 0, 0, &[0; 8])), 1);
    assert_eq!(after(frame(DATA, 0, 1, b"")), 1);
    assert_eq!(after(frame(DATA, PADDED, 1, b"\x01\0")), 1);
    assert_eq!(after(frame(DATA, END_STREAM, 1, b"")), 0);
    assert_eq!(after(frame(DATA, 0, 1, b"x")), 0);
    assert_eq!(after(frame(DATA, 0, 3, b"late")), 1);
    // A stream that is opened and reset at once must cost, however often it is done.
    assert!(after(frame(RST_STREAM, 0, 1, &[0; 4])) > -opened);
    let mut long = frame(DATA, 0, 1, b"");
    long[..3].copy_from_slice(&(1u32 << 19).to_be_bytes()[1..]);
    long.resize(HEADER + (1 << 19), 0);
    assert_eq!(after(long), -32);
}
