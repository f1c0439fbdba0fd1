//! What is indexed, who is left out, and what must not come back.
//!
//! A scope enters with the machine, and an operator's or an owner's word while it runs; what is held of whoever is not in scope any more
//! is erased.
//!
//! **A wipe** is the wish of a repository's owner that nothing of what it said up to a revision is shown. The records are deleted in the
//! repository itself first, so that whatever is proven at that revision or later shows none of them, whoever is asked. What no later
//! proof can stop are the proofs of before. They are genuine, and right about their time: a stream that is heard from its beginning
//! proves a repository's first commits without asking anyone; a copy of an export, an answer that was on its way, an index that was
//! restored, a PDS that was set back know nothing of what came later. Where something later is held they are out of date
//! by their revision. Where nothing is, as after the erasure itself or in a new index, only the wipe's revision tells.

use std::collections::{BTreeMap, BTreeSet};

use super::super::change::Change;
use super::Verifier;
use super::output::Output;
use super::tracked::Phase;
use crate::syntax::{Did, Tid};

/// What is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub(super) namespace: String,
    /// Whose repositories are left out.
    excluded: BTreeSet<Did>,
    /// Up to which revision a repository was wiped.
    wiped: BTreeMap<Did, Tid>,
}

impl Scope {
    /// Every collection whose NSID starts with `namespace`, which should end in a dot.
    #[must_use]
    pub fn namespace(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), excluded: BTreeSet::new(), wiped: BTreeMap::new() }
    }

    /// The same, without these repositories.
    #[must_use]
    pub fn excluding(mut self, dids: impl IntoIterator<Item = Did>) -> Self {
        self.excluded.extend(dids);
        self
    }

    /// Whether a repository is left out.
    #[must_use]
    pub fn excludes(&self, did: &str) -> bool {
        self.excluded.contains(did)
    }

    /// The same, without anything that these repositories said up to a revision each. Of two for one repository the later holds.
    #[must_use]
    pub fn wiping(mut self, wiped: impl IntoIterator<Item = (Did, Tid)>) -> Self {
        wiped.into_iter().for_each(|(did, until)| self.wipe(did, until));
        self
    }

    /// Whether a repository was wiped later than it was at a revision: what was true then must not come back.
    #[must_use]
    pub fn is_wiped(&self, did: &str, rev: Tid) -> bool {
        self.wiped.get(did).is_some_and(|until| rev < *until)
    }

    /// As [`Scope::is_wiped`], of a commit: the one that a wipe ended with has nothing to tell either.
    pub(super) fn is_wiped_commit(&self, did: &str, rev: Tid) -> bool {
        self.wiped.get(did).is_some_and(|until| rev <= *until)
    }

    fn wipe(&mut self, did: Did, until: Tid) {
        let held = self.wiped.entry(did).or_insert(until);
        *held = until.max(*held);
    }

    /// The prefix that every path in scope has.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.namespace
    }
}

impl Default for Scope {
    /// All of `dev.cocore.*`.
    fn default() -> Self {
        Self::namespace("dev.cocore.")
    }
}

impl Verifier {
    /// Follows a repository that was left out, or was not followed yet.
    pub fn include(&mut self, did: Did) {
        self.scope.excluded.remove(&did);
        self.track(did);
    }

    /// Leaves a repository out from here on, and has everything of it erased.
    pub fn exclude(&mut self, did: Did) {
        self.settle(&did);
        self.repos.remove(&did);
        self.outputs.push_back(Output::Apply(Change::Forget { did: did.clone() }));
        self.scope.excluded.insert(did);
    }

    /// Shows nothing from here on of what a repository said up to a revision: all that is held of it is erased. It is followed on
    /// if it is known to have said more since, and otherwise once it does.
    pub fn wipe(&mut self, did: Did, until: Tid) {
        let has_said_more = self.repos.get(&did).is_some_and(|tracked| {
            tracked.phase != Phase::Ready || tracked.state.head.is_some_and(|head| head.rev > until)
        });
        self.scope.wipe(did.clone(), until);
        self.settle(&did);
        self.repos.remove(&did);
        self.outputs.push_back(Output::Apply(Change::Forget { did: did.clone() }));
        if has_said_more {
            self.track(did);
        }
    }
}
