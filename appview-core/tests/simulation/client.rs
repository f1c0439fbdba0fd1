//! Clients of the change feed, which outlive the engine: each keeps what it gathered and its place, and goes on from there.
//!
//! An index enters, at moments of their own choice; whether what they gathered is what it serves leaves. One of them forgets
//! the records of an account that is hidden, the other keeps them until it is shown again.

use std::collections::BTreeMap;

use appview_core::index::Index;
use appview_core::source::clock::Clock;
use fixtures::seed::Seed;

use crate::consumer::{Consumer, Hidden, served};

const SECOND: u64 = 1_000_000;
/// The longest that a client stays away.
const PAUSE: u64 = 150 * SECOND;

pub struct Clients {
    all: [Consumer; 2],
    dice: Seed,
    /// When one of them reads next.
    due: u64,
    /// What they gathered that was not served, or the other way round.
    complaint: Option<String>,
}

impl Clients {
    pub fn new(dice: Seed) -> Self {
        let all = [Hidden::Forgotten, Hidden::Kept].map(Consumer::new);
        Self { all, dice, due: 0, complaint: None }
    }

    /// Read now and then, for ever.
    pub async fn live(&mut self, clock: &Clock, index: &Index) {
        loop {
            clock.until(self.due).await;
            let client = self.dice.below(self.all.len() as u64) as usize;
            match self.dice.one_in(3) {
                // It is interrupted.
                true => {
                    let most = self.dice.below(20) as usize;
                    self.all[client].read(&index.reader().unwrap(), most);
                }
                false => self.catch_up(client, index),
            }
            self.due = clock.now() + self.dice.below(PAUSE);
        }
    }

    /// All of them read to the end.
    ///
    /// # Errors
    ///
    /// What was gathered that is not served, or was not when it should have been, or the other way round.
    pub fn rest(&mut self, index: &Index) -> Result<(), String> {
        (0..self.all.len()).for_each(|client| self.catch_up(client, index));
        self.complaint.take().map_or(Ok(()), Err)
    }

    /// How often one of them had to start anew.
    pub fn gaps(&self) -> u64 {
        self.all.iter().map(|client| u64::from(client.gaps)).sum()
    }

    /// Reads to the end of one snapshot, and holds what was gathered to what is served in it.
    fn catch_up(&mut self, client: usize, index: &Index) {
        let (reader, client) = (index.reader().unwrap(), &mut self.all[client]);
        client.read_all(&reader);
        let [gathered, served] = [client.shown(), served(&reader)].map(texts);
        if gathered != served && self.complaint.is_none() {
            let (after, lines) = (client.after(), crate::run::difference(&served, &gathered));
            self.complaint = Some(format!("a client of the feed, having read up to {after}:\n{lines}"));
        }
    }
}

fn texts(records: BTreeMap<String, appview_core::block::Cid>) -> BTreeMap<String, String> {
    records.into_iter().map(|(uri, cid)| (uri, cid.to_string())).collect()
}
