//! The record collections of the namespace.

use std::fmt;

/// What every NSID of the namespace starts with, its dot included.
pub const NAMESPACE: &str = "dev.cocore.";

macro_rules! collections {
    ($($(#[$doc:meta])* $name:ident = $nsid:literal,)+) => {
        /// A collection this crate has a lexicon and a typed view for.
        ///
        /// The namespace is open: a record of another `dev.cocore.*` collection is indexed without either.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Collection {
            $($(#[$doc])* $name,)+
        }

        impl Collection {
            /// All of them, ordered by NSID.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The collection's NSID.
            #[must_use]
            pub const fn nsid(self) -> &'static str {
                match self {
                    $(Self::$name => $nsid,)+
                }
            }

            /// The collection of this NSID, if it is one of ours.
            #[must_use]
            pub fn from_nsid(nsid: &str) -> Option<Self> {
                match nsid {
                    $($nsid => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

collections! {
    /// One account's declared trust in another.
    Friend = "dev.cocore.account.friend",
    /// How an account presents itself; one per repository.
    Profile = "dev.cocore.account.profile",
    /// Credits an exchange gave outright.
    TokenGrant = "dev.cocore.account.tokenGrant",
    /// Credits an exchange gave in proportion to work.
    TokenPatronage = "dev.cocore.account.tokenPatronage",
    /// A machine's signed account of itself.
    Attestation = "dev.cocore.compute.attestation",
    /// An objection to a settlement.
    Dispute = "dev.cocore.compute.dispute",
    /// An exchange's account of the software and key it runs with.
    ExchangeAttestation = "dev.cocore.compute.exchangeAttestation",
    /// The terms of an exchange.
    ExchangePolicy = "dev.cocore.compute.exchangePolicy",
    /// An order.
    Job = "dev.cocore.compute.job",
    /// A requester's permission to charge.
    PaymentAuthorization = "dev.cocore.compute.paymentAuthorization",
    /// A machine on offer.
    Provider = "dev.cocore.compute.provider",
    /// A machine's signed account of one finished job.
    Receipt = "dev.cocore.compute.receipt",
    /// An exchange's account of the money moved for one receipt.
    Settlement = "dev.cocore.compute.settlement",
    /// A user's agreement to an exchange's terms.
    TermsAcceptance = "dev.cocore.compute.termsAcceptance",
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.nsid())
    }
}
