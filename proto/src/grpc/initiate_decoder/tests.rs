use super::*;
use crate::error::Reason;
use crate::grpc::frame::frame_reply;
use proptest::prelude::*;

fn decode_in_pieces(input: &Bytes, cuts: &[usize]) -> Result<Vec<InitiateEvent>, Refusal> {
    let mut decoder = InitiateDecoder::new(1 << 20);
    let mut events = Vec::new();
    let mut rest = input.clone();
    let mut feed = |decoder: &mut InitiateDecoder, piece| {
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

fn message(events: Vec<InitiateEvent>) -> pb::InitiateUploadRequest {
    let mut events = events.into_iter();
    let Some(InitiateEvent::Request { mut request, payload_bytes }) = events.next() else {
        panic!("the request comes first");
    };
    assert_eq!(events.next_back(), Some(InitiateEvent::End));
    let mut payload = Vec::new();
    for event in events {
        let InitiateEvent::Payload(piece) = event else { panic!("only payload between") };
        payload.extend_from_slice(&piece);
    }
    assert_eq!(payload_bytes.unwrap_or(0), payload.len() as u64);
    request.payload = payload_bytes.map(|_| payload.into());
    *request
}

prop_compose! {
    fn any_request()(
        filename in ".{0,20}",
        metadata in prop::collection::hash_map(".{0,5}", ".{0,9}", 0..3),
        expected_size_bytes: Option<i64>,
        request_id in ".{0,9}",
        payload in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
    ) -> pb::InitiateUploadRequest {
        pb::InitiateUploadRequest {
            filename, metadata, expected_size_bytes, request_id,
            payload: payload.map(Bytes::from),
            ..Default::default()
        }
    }
}

proptest! {
    #[test]
    fn any_split_says_what_prost_says(request in any_request(), cuts: Vec<usize>) {
        let stream = frame_reply(&request);
        prop_assert_eq!(message(decode_in_pieces(&stream, &cuts).unwrap()), request);
    }

    #[test]
    fn payload_shares_the_memory_of_what_was_pushed(request in any_request()) {
        let stream = frame_reply(&request);
        for event in decode_in_pieces(&stream, &[7, 30, 9]).unwrap() {
            if let InitiateEvent::Payload(piece) = event {
                prop_assert!(stream.as_ptr_range().contains(&piece.as_ptr()));
            }
        }
    }

    #[test]
    fn noise_never_panics(noise: Vec<u8>, cuts: Vec<usize>) {
        let mut stream = vec![0];
        stream.extend_from_slice(&(noise.len() as u32).to_be_bytes());
        stream.extend_from_slice(&noise);
        let stream = Bytes::from(stream);
        prop_assert_eq!(
            decode_in_pieces(&stream, &cuts).is_ok(),
            decode_in_pieces(&stream, &[]).is_ok()
        );
    }
}

#[test]
fn no_payload_and_an_empty_one_differ() {
    for payload in [None, Some(Bytes::new())] {
        let request = pb::InitiateUploadRequest { payload, ..Default::default() };
        assert_eq!(message(decode_in_pieces(&frame_reply(&request), &[]).unwrap()), request);
    }
}

#[test]
fn one_message_with_one_payload() {
    let payload = [0xc2, 0x3e, 1, 7];
    let twice = [&[0, 0, 0, 0, 8][..], &payload, &payload].concat();
    assert_eq!(decode_in_pieces(&twice.into(), &[]).unwrap_err().field, Some("payload"));
    let late = [&[0, 0, 0, 0, 7][..], &payload, &[0x1a, 1, b'f']].concat();
    assert_eq!(decode_in_pieces(&late.into(), &[]).unwrap_err().reason, Reason::FieldInvalid);
    assert!(decode_in_pieces(&vec![0; 10].into(), &[]).is_err());
    assert!(decode_in_pieces(&Bytes::new(), &[]).is_err());
}
