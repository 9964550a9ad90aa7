//! Where the chunks of an upload are sent.

use crate::job::Route;
use crate::load::links::Lanes;
use crate::load::run::Run;
use crate::load::upload::{UploadError, initiate};

/// So many connections are made to find owners: by chance alone a server of two shards has both
/// behind them, but for one time in 2^63.
const PROBES_MAX: u64 = 64;

/// The connections for upload `nth`, whose owner has these endpoints.
///
/// # Errors
/// When nobody listens there, or a wrong owner is asked for and there is none.
pub async fn lanes(run: &Run, endpoints: &[String], nth: u64) -> Result<Lanes, UploadError> {
    let address = match (run.load.route, endpoints.first()) {
        (Route::Owner, Some(owner)) => owner,
        (Route::Owner, None) | (Route::Shared, _) => &run.address,
        (Route::Wrong, owner) => wrong(&run.owners, owner, nth)?,
    };
    Ok(run.links.to(address).await?)
}

/// Opens uploads over new connections until as many owners are known as the load needs, of a server
/// that is said to have `shards`. The uploads stay open: nothing is sent in them.
///
/// # Errors
/// When there are fewer, or an upload can't be opened.
pub async fn find_owners(run: &Run, shards: usize) -> Result<Vec<String>, UploadError> {
    let needed = match run.load.route {
        Route::Shared => 0,
        Route::Owner if shards < 2 => 0,
        Route::Owner => shards,
        Route::Wrong => shards.max(2),
    };
    let mut owners = Vec::new();
    for _ in 0..PROBES_MAX {
        if owners.len() == needed {
            break;
        }
        let wire = run.links.fresh(&run.address).await?;
        let (nth, payload) = run.next_upload();
        let opened = initiate(run, nth, &payload, &wire).await?;
        if let Some(owner) = opened.endpoints.into_iter().next()
            && !owners.contains(&owner)
        {
            owners.push(owner);
        }
    }
    match owners.len() {
        found if found < needed => Err(UploadError::FewOwners { needed, found }),
        _ => Ok(owners),
    }
}

fn wrong<'a>(
    known: &'a [String],
    owner: Option<&String>,
    nth: u64,
) -> Result<&'a String, UploadError> {
    let others: Vec<_> = known.iter().filter(|&other| Some(other) != owner).collect();
    let turn = nth / known.len().max(1) as u64;
    match others.as_slice() {
        [] => Err(UploadError::FewOwners { needed: 2, found: known.len() }),
        others => Ok(others[(turn % others.len() as u64) as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_owner_is_never_the_right_one() {
        let known = ["a".to_owned(), "b".to_owned()];
        for nth in 0..4 {
            assert_eq!(wrong(&known, Some(&known[0]), nth).unwrap(), "b");
            assert_eq!(wrong(&known, Some(&known[1]), nth).unwrap(), "a");
        }
        assert!(matches!(
            wrong(&known[..1], Some(&known[0]), 0),
            Err(UploadError::FewOwners { .. })
        ));
    }
}
