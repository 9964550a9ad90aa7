//! Where the chunks of an upload are sent.

use crate::job::Route;
use crate::load::links::Lanes;
use crate::load::run::Run;
use crate::load::upload::{UploadError, initiate};

/// So many uploads are opened to find two owners; by chance alone a server of two shards has both
/// among them, but for one time in 2^63.
const PROBES_MAX: u64 = 64;

/// The connections for upload `nth`, whose owner has these endpoints.
///
/// # Errors
/// When nobody listens there, or a wrong owner is asked for and there is none.
pub async fn lanes(run: &Run, endpoints: &[String], nth: u64) -> Result<Lanes, UploadError> {
    let owner = endpoints.first();
    let address = match (run.load.route, owner) {
        (Route::Owner, Some(owner)) => owner.clone(),
        (Route::Owner, None) | (Route::Shared, _) => run.address.clone(),
        (Route::Wrong, owner) => wrong(&run.owners.borrow(), owner, nth)?,
    };
    Ok(run.links.to(&address).await?)
}

/// Opens uploads until two owners are known. They stay open: nothing is sent in them.
///
/// # Errors
/// When all have the same, or an upload can't be opened.
pub async fn find_owners(run: &Run) -> Result<(), UploadError> {
    for probe in 0..PROBES_MAX {
        let (nth, payload) = run.next_upload();
        let opened = initiate(run, nth, &payload, probe).await?;
        let mut owners = run.owners.borrow_mut();
        if let Some(owner) = opened.endpoints.into_iter().next()
            && !owners.contains(&owner)
        {
            owners.push(owner);
        }
        if owners.len() == 2 {
            return Ok(());
        }
    }
    Err(UploadError::OneOwner)
}

fn wrong(known: &[String], owner: Option<&String>, nth: u64) -> Result<String, UploadError> {
    let others: Vec<_> = known.iter().filter(|&other| Some(other) != owner).collect();
    match others.as_slice() {
        [] => Err(UploadError::OneOwner),
        others => Ok(others[(nth % others.len() as u64) as usize].clone()),
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
        assert!(matches!(wrong(&known[..1], Some(&known[0]), 0), Err(UploadError::OneOwner)));
    }
}
