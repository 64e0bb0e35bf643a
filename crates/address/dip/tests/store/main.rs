//! What every database keeps to, whichever it is: the same tests on each.

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod operating;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod sqlite;
#[cfg(test)]
mod tidying;

#[cfg(test)]
/// Runs each of the suite's tests on a store that `$open` makes anew.
macro_rules! suite {
    ($open:expr => $($module:ident::$test:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                let room = $open.await;
                crate::$module::$test(&room).await;
            }
        )*
    };
}

#[cfg(test)]
/// All tests, on one kind of store.
macro_rules! all {
    ($open:expr) => {
        crate::suite!($open =>
            serving::tokens_at_once_get_an_address_each,
            serving::everything_survives_a_restart,
            serving::a_lease_begins_once_and_ends_with_its_grant,
            serving::a_stranger_cannot_commit,
            serving::a_lease_that_was_given_back_is_not_extended,
            serving::what_is_drained_is_kept_and_not_given,
            serving::a_reservation_moves_off_a_blocked_address,
            serving::a_lease_of_a_blocked_address_is_withdrawn,
            serving::draws_reach_every_address,
            tidying::a_weeks_end_with_many_rows_is_tidied_in_parts,
            tidying::tidying_twice_at_once_does_it_once,
            tidying::a_restored_database_is_made_good,
            tidying::what_cannot_be_made_good_is_counted,
            operating::imports_are_idempotent_and_never_move_an_address,
            operating::nothing_of_a_bad_import_stays,
            operating::prefixes_do_not_overlap,
            operating::a_gateway_takes_its_leases_along,
            operating::an_address_moves_with_its_lease,
            operating::every_address_is_counted_once,
            operating::lists_have_pages_and_filters,
            operating::leases_are_frozen_and_told_something,
            operating::complaints_are_counted,
            operating::demand_is_counted,
            operating::regions_have_places,
        );
    };
}

#[cfg(test)]
pub(crate) use {all, suite};
