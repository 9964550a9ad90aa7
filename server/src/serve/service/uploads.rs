//! ListUploads: what the stores hold, and what the owners of open uploads know better.
//!
//! The stores one after the other, each in the order that its uploads were made: an upload keeps
//! its place from its first record to its last, so who walks all pages meets it once.

use std::rc::Rc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sluice_proto::{
    error::{Reason, Refusal},
    ids::{DriveId, Filename, RequestId, StoreId},
    pb::{self, UploadState},
};
use sluice_shard::{effect::UploadView, record::State};

use super::{
    Call, Service, TENANT, ask, control,
    token::{self, Walk},
    view,
};
use crate::{
    metadata,
    metrics::Work,
    store::{Filter, Found, Room, Stage},
};

/// Rows that a page looks at: one of a filter that few fit may end early, or be empty.
const PAGE_ROWS_MAX: usize = 2_000;
/// Rows that a store looks at in one go; what it records waits behind them.
const STRETCH_ROWS_MAX: usize = 500;
/// Owners that are asked at a time.
const LOOKS_MAX: usize = 32;

pub(super) async fn list_uploads(
    service: Rc<Service>,
    call: Call,
    request: pb::ListUploadsRequest,
) -> Result<pb::ListUploadsResponse, Refusal> {
    let (filter, state) = filter(&request)?;
    let limit = ask::page_limit(request.page_size)?;
    let walk = walk(&request, &filter);
    let mut at = Some(At::of(walk.key(&request.page_token)?, service.placement.stores())?);
    let drive_id = filter.drive_id.clone();
    ask::metadata(&service, move |conn| metadata::check_drive(conn, &drive_id)).await??;
    let mut uploads = Vec::new();
    let mut room = Room { items: limit.items_max, bytes: limit.bytes_max, rows: PAGE_ROWS_MAX };
    while let Some(from) = at.filter(|_| !room.is_full()) {
        let rows = room.rows.min(STRETCH_ROWS_MAX);
        let listing =
            service.stores.list(from.store, filter.clone(), from.upload, Room { rows, ..room });
        let stretch = ask::of(&service, Work::List, listing).await?;
        uploads.extend(views(&service, call, stretch.found, state).await?);
        // A store that has nothing costs something too.
        let rows_read = (rows - stretch.room.rows).max(1);
        room = Room {
            items: limit.items_max - uploads.len(),
            bytes: stretch.room.bytes,
            rows: room.rows - rows_read,
        };
        at = from.next(stretch.next, service.placement.stores());
    }
    let next_page_token = at.map_or_else(String::new, |at| walk.token(&at.key()));
    Ok(pb::ListUploadsResponse { uploads, next_page_token })
}

/// What a request asks for: of the stores, and of each upload as it is by then.
fn filter(request: &pb::ListUploadsRequest) -> Result<(Filter, UploadState), Refusal> {
    let state = UploadState::try_from(request.state)
        .map_err(|_| Refusal::invalid("state", "is no UploadState").with("value", request.state))?;
    Filename::parse(&request.filename).map_err(|invalid| invalid.refusal("filename"))?;
    let request_id = match request.request_id.as_str() {
        "" => None,
        asked => Some(RequestId::parse(asked).map_err(|invalid| invalid.refusal("request_id"))?),
    };
    let filter = Filter {
        tenant: TENANT.to_owned(),
        drive_id: DriveId::from_request(&request.drive_id)?,
        request_id,
        filename: request.filename.clone(),
        stage: stage(state),
    };
    Ok((filter, state))
}

fn stage(state: UploadState) -> Stage {
    match state {
        UploadState::Unspecified => Stage::Any,
        UploadState::Pending | UploadState::Uploading | UploadState::Completing => Stage::Live,
        UploadState::Completed => Stage::Ended(State::Completed),
        UploadState::Failed => Stage::Ended(State::Failed),
        UploadState::Aborted => Stage::Ended(State::Aborted),
        UploadState::Expired => Stage::Ended(State::Expired),
    }
}

fn walk(request: &pb::ListUploadsRequest, filter: &Filter) -> Walk {
    let state = request.state.to_string();
    let drive_id = filter.drive_id.as_str();
    Walk::new("ListUploads", &[drive_id, &state, &request.request_id, &request.filename])
}

/// Each as a client sees it now, unless it is in another state than was asked for.
async fn views(
    service: &Service,
    call: Call,
    found: Vec<Found>,
    state: UploadState,
) -> Result<Vec<pb::Upload>, Refusal> {
    let looks = found.into_iter().map(async |found| match found {
        Found::AtRest(view) => Ok(Some(view)),
        Found::Live(upload_id) => match control::look(service, upload_id, 0, 0).await {
            Ok(page) => Ok(Some(page.upload)),
            // It ended and was forgotten since its store was read; or what is recorded of it can't be
            // read, which is told in the log.
            Err(refusal) if matches!(refusal.reason, Reason::UploadUnknown | Reason::Internal) => {
                Ok(None)
            }
            Err(refusal) => Err(refusal),
        },
    });
    let looked: Vec<Option<Box<UploadView>>> =
        stream::iter(looks).buffered(LOOKS_MAX).try_collect().await?;
    let told = looked.into_iter().flatten().map(|upload| {
        let endpoints = service.endpoints(&upload.record.upload_id, call.local_ip);
        view::upload(&upload, endpoints, &service.objects)
    });
    Ok(told.filter(|upload| state == UploadState::Unspecified || upload.state() == state).collect())
}

/// Where a walk goes on.
#[derive(Clone, Copy)]
struct At {
    store: StoreId,
    /// Behind this row of the store.
    upload: i64,
}

impl At {
    fn of(key: Option<Vec<u8>>, stores: u16) -> Result<Self, Refusal> {
        let Some(key) = key else { return Ok(Self { store: StoreId(0), upload: 0 }) };
        let (store, upload) = key.split_first_chunk().ok_or_else(token::not_ours)?;
        let store = StoreId(u16::from_be_bytes(*store));
        let upload = upload.try_into().map_err(|_| token::not_ours())?;
        // A token can be made up: no secret is in it.
        let is_ours = store.0 < stores;
        let at = Self { store, upload: i64::from_be_bytes(upload) };
        is_ours.then_some(at).ok_or_else(token::not_ours)
    }

    fn key(self) -> Vec<u8> {
        [&self.store.0.to_be_bytes()[..], &self.upload.to_be_bytes()].concat()
    }

    /// Behind that row, else in the next store; `None` after the last.
    fn next(self, upload: Option<i64>, stores: u16) -> Option<Self> {
        match upload {
            Some(upload) => Some(Self { upload, ..self }),
            None => {
                let store = StoreId(self.store.0 + 1);
                (store.0 < stores).then_some(Self { store, upload: 0 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_goes_through_all_stores_and_no_others() {
        let mut at = At::of(None, 3).unwrap();
        let mut stores = vec![at.store.0];
        while let Some(next) = at.next(None, 3) {
            assert_eq!(At::of(Some(next.key()), 3).unwrap().key(), next.key());
            stores.push(next.store.0);
            at = next;
        }
        assert_eq!(stores, [0, 1, 2]);
        let within = at.next(Some(7), 3).unwrap();
        assert_eq!((within.store, within.upload), (at.store, 7));
        for made_up in [&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0xff; 10], &[0; 9], &[0; 11], &[]] {
            let refusal = At::of(Some(made_up.to_vec()), 3).err().unwrap();
            assert_eq!(refusal.field, Some("page_token"));
        }
    }
}
