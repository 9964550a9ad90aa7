use super::*;
use crate::error::Reason;
use crate::grpc::frame::frame_reply;
use crate::pb;
use proptest::prelude::*;
use prost::Message as _;

const MAX: u64 = 1 << 20;

/// The fuzz body: whatever comes in, in whatever pieces, nothing panics, and
/// all pieces together say the same as the whole.
fn decode_in_pieces(input: &Bytes, cuts: &[usize]) -> Result<Vec<ChunkEvent>, Refusal> {
    let mut decoder = ChunkDecoder::new(MAX);
    let mut events = Vec::new();
    let mut rest = input.clone();
    let mut feed = |decoder: &mut ChunkDecoder, piece| {
        decoder.push(piece);
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
        Ok::<_, Refusal>(())
    };
    for cut in cuts {
        let piece = rest.split_to(cut % (rest.len() + 1));
        feed(&mut decoder, piece)?;
    }
    feed(&mut decoder, rest)?;
    decoder.finish()?;
    Ok(events)
}

/// Joins events to messages; checks their order on the way.
fn messages(events: Vec<ChunkEvent>) -> Vec<pb::UploadChunkRequest> {
    let mut out = Vec::new();
    let mut open: Option<(ChunkHeader, Vec<u8>)> = None;
    for event in events {
        match event {
            ChunkEvent::Header(header) => {
                assert!(open.replace((header, Vec::new())).is_none());
            }
            ChunkEvent::Data(piece) => {
                assert!(!piece.is_empty());
                open.as_mut().unwrap().1.extend_from_slice(&piece);
            }
            ChunkEvent::End(trailer) => {
                let (mut header, data) = open.take().unwrap();
                assert_eq!(header.data_bytes, data.len() as u64);
                trailer.apply(&mut header);
                out.push(pb::UploadChunkRequest {
                    upload_id: header.upload_id,
                    chunk_number: header.chunk_number,
                    is_last: header.is_last,
                    force: header.force,
                    crc32c: header.crc32c,
                    crc64nvme: header.crc64nvme,
                    sha256: header.sha256,
                    data: data.into(),
                });
            }
        }
    }
    assert!(open.is_none());
    out
}

fn small_bytes(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

prop_compose! {
    fn any_chunk()(
        upload_id in ".{0,40}", chunk_number: i32, is_last: bool, force: bool,
        crc32c in small_bytes(6), crc64nvme in small_bytes(10), sha256 in small_bytes(40),
        data in small_bytes(300),
    ) -> pb::UploadChunkRequest {
        pb::UploadChunkRequest {
            upload_id, chunk_number, is_last, force, crc32c, crc64nvme, sha256, data,
        }
    }
}

fn prefixed(body: &[u8]) -> Bytes {
    let mut out = vec![0];
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
    out.into()
}

/// The message's data first, its other late fields after.
fn data_in_the_middle(chunk: &pb::UploadChunkRequest) -> Vec<u8> {
    let early = pb::UploadChunkRequest {
        upload_id: chunk.upload_id.clone(),
        chunk_number: chunk.chunk_number,
        data: chunk.data.clone(),
        ..Default::default()
    };
    let late = pb::UploadChunkRequest {
        upload_id: String::new(),
        chunk_number: 0,
        data: Bytes::new(),
        ..chunk.clone()
    };
    [early.encode_to_vec(), late.encode_to_vec()].concat()
}

proptest! {
    #[test]
    fn any_split_says_what_prost_says(
        chunks in prop::collection::vec(any_chunk(), 0..4),
        cuts in prop::collection::vec(0usize..64, 0..40),
    ) {
        let stream: Vec<u8> = chunks.iter().flat_map(frame_reply).collect();
        let events = decode_in_pieces(&stream.into(), &cuts).unwrap();
        prop_assert_eq!(messages(events), chunks);
    }

    #[test]
    fn one_byte_at_a_time(chunk in any_chunk()) {
        let stream = frame_reply(&chunk);
        let events = decode_in_pieces(&stream, &vec![1; stream.len()]).unwrap();
        prop_assert_eq!(messages(events), vec![chunk]);
    }

    #[test]
    fn fields_after_the_data_still_count(chunk in any_chunk(), cuts: Vec<usize>) {
        let body = data_in_the_middle(&chunk);
        prop_assert_eq!(&pb::UploadChunkRequest::decode(&body[..]).unwrap(), &chunk);
        let events = decode_in_pieces(&prefixed(&body), &cuts).unwrap();
        prop_assert_eq!(messages(events), vec![chunk]);
    }

    #[test]
    fn data_shares_the_memory_of_what_was_pushed(chunk in any_chunk(), cuts: Vec<usize>) {
        let stream = frame_reply(&chunk);
        let range = stream.as_ptr_range();
        for event in decode_in_pieces(&stream, &cuts).unwrap() {
            if let ChunkEvent::Data(piece) = event {
                prop_assert!(range.contains(&piece.as_ptr()));
            }
        }
    }

    #[test]
    fn noise_is_refused_or_read_the_same_in_any_split(
        noise in small_bytes(60), cuts: Vec<usize>,
    ) {
        let stream = prefixed(&noise);
        let whole = decode_in_pieces(&stream, &[]).map(messages);
        let pieces = decode_in_pieces(&stream, &cuts).map(messages);
        prop_assert_eq!(&pieces, &whole);
        if let Ok(whole) = whole {
            // What we read, prost reads, and reads the same.
            prop_assert_eq!(pb::UploadChunkRequest::decode(noise).ok().into_iter().collect::<Vec<_>>(), whole);
        }
        // Also without a true prefix.
        let _ = decode_in_pieces(&stream.slice(5..), &cuts);
    }

    #[test]
    fn a_changed_byte_never_panics(chunk in any_chunk(), at: usize, byte: u8, cuts: Vec<usize>) {
        let mut stream = frame_reply(&chunk).to_vec();
        let at = at % stream.len();
        stream[at] = byte;
        let stream = Bytes::from(stream);
        let whole = decode_in_pieces(&stream, &[]).map(messages);
        prop_assert_eq!(decode_in_pieces(&stream, &cuts).map(messages), whole);
    }

    #[test]
    fn a_cut_stream_is_told(chunk in any_chunk(), at: usize) {
        let stream = frame_reply(&chunk);
        let at = at % stream.len();
        prop_assert_eq!(decode_in_pieces(&stream.slice(..at), &[]).is_err(), at > 0);
    }
}

fn refused(body: &[u8]) -> Refusal {
    decode_in_pieces(&prefixed(body), &[]).unwrap_err()
}

#[test]
fn the_header_is_told_before_the_data_is_there() {
    let chunk = pb::UploadChunkRequest {
        upload_id: "u".into(),
        data: vec![1; 9].into(),
        ..Default::default()
    };
    let stream = frame_reply(&chunk);
    let mut decoder = ChunkDecoder::new(MAX);
    decoder.push(stream.slice(..stream.len() - 9));
    let Ok(Some(ChunkEvent::Header(header))) = decoder.next_event() else { panic!("no header") };
    assert_eq!((header.upload_id.as_str(), header.data_bytes), ("u", 9));
    assert_eq!(decoder.missing_bytes(), Some(9));
    assert_eq!(decoder.next_event(), Ok(None));
}

#[test]
fn a_message_without_data_has_a_header_and_an_end() {
    let events = decode_in_pieces(&prefixed(&[]), &[]).unwrap();
    let empty = ChunkEvent::Header(ChunkHeader::default());
    assert_eq!(events, [empty, ChunkEvent::End(Trailer::default())]);
}

#[test]
fn what_was_checked_is_what_counts() {
    let data = [0xc2, 0x3e, 1, 7];
    let id = [0x0a, 1, b'u'];
    let number = [0x10, 1];
    for (body, field) in [
        ([&id[..], &id].concat(), "upload_id"),
        ([&data[..], &id].concat(), "upload_id"),
        ([&data[..], &number].concat(), "chunk_number"),
        ([&data[..], &data].concat(), "data"),
    ] {
        let refusal = refused(&body);
        assert_eq!((refusal.reason, refusal.field), (Reason::FieldInvalid, Some(field)));
    }
}

#[test]
fn hostile_messages_are_refused() {
    let long_varint = [0xff; 11];
    let past_the_end = [0xc2, 0x3e, 5, 1];
    let huge_length = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let field_zero = [0x00, 1];
    let group = [0x0b, 0x0c];
    let wrong_type = [0x08, 1];
    let not_utf8 = [0x0a, 1, 0xff];
    let truncated = [0x0a];
    let bodies: [&[u8]; 8] = [
        &long_varint,
        &past_the_end,
        &huge_length,
        &field_zero,
        &group,
        &wrong_type,
        &not_utf8,
        &truncated,
    ];
    for body in bodies {
        assert_eq!(refused(body).reason, Reason::FieldInvalid, "{body:?}");
    }
    let mut compressed = prefixed(&[]).to_vec();
    compressed[0] = 1;
    let refusal = decode_in_pieces(&compressed.into(), &[]).unwrap_err();
    assert_eq!(refusal.reason, Reason::CompressionUnsupported);
}

#[test]
fn sizes_are_bounded_before_they_arrive() {
    let mut decoder = ChunkDecoder::new(MAX);
    decoder.push(Bytes::from_static(&[0, 0x7f, 0xff, 0xff, 0xff]));
    assert_eq!(decoder.next_event().unwrap_err().reason, Reason::ChunkTooLarge);
    assert_eq!(decoder.next_event().unwrap_err().reason, Reason::ChunkTooLarge);
    // A header that would never fit is refused at its length.
    let mut decoder = ChunkDecoder::new(MAX);
    decoder.push(Bytes::from_static(&[0, 0, 8, 0, 0, 0x0a, 0x80, 0x80, 0x04]));
    assert_eq!(decoder.next_event().unwrap_err().reason, Reason::FieldInvalid);
    // Many small unknown fields spend the same budget.
    let flood = [0x78, 1].repeat(limits::CHUNK_HEADER_BYTES_MAX);
    assert_eq!(refused(&flood).reason, Reason::FieldInvalid);
}

#[test]
fn a_header_is_judged_field_by_field() {
    let mut header = ChunkHeader { upload_id: "nope".into(), ..Default::default() };
    assert_eq!(header.ids().unwrap_err().reason, Reason::UploadUnknown);
    header.crc32c = Bytes::from_static(&[0, 0, 0, 9]);
    assert_eq!(header.checks().unwrap().crc32c, Some(9));
    header.sha256 = Bytes::from_static(&[0; 31]);
    assert_eq!(header.checks().unwrap_err().field, Some("sha256"));
}
