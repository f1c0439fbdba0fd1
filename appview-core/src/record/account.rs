//! Typed views of the `dev.cocore.account` records.
//!
//! Member by member as the lexicons name them; what a member means, in which unit, is told there.

use super::view::views;
use super::{Blob, StrongRef};

views! {
    /// One account's declared trust in another.
    record Friend {
        required {
            /// The DID trusted.
            subject: String,
            /// When it was declared.
            created_at: String,
        }
        optional {
            /// The subject's handle at that time.
            subject_handle: String,
            /// A word about why. Public like all else.
            note: String,
        }
    }

    /// How an account presents itself.
    record Profile {
        required {
            /// When it was made.
            created_at: String,
        }
        optional {
            /// The name to show.
            display_name: String,
            /// A text about oneself.
            bio: String,
            /// A picture.
            avatar: Blob,
            /// Where a picture can be fetched.
            avatar_url: String,
            /// The account's handle at that time.
            handle: String,
            /// When it was changed last.
            updated_at: String,
        }
    }

    /// Credits an exchange gave outright.
    record TokenGrant {
        required {
            /// The exchange's DID.
            exchange: String,
            /// The DID credited.
            recipient: String,
            /// Credits.
            amount: i64,
            /// The policy it was given under.
            policy: StrongRef,
            /// When it was given.
            created_at: String,
        }
        optional {}
    }

    /// Credits an exchange gave in proportion to work.
    record TokenPatronage {
        required {
            /// The exchange's DID.
            exchange: String,
            /// The DID credited.
            recipient: String,
            /// The time the score is about.
            period: Period,
            /// The recipient's part.
            patronage_score: i64,
            /// The whole it is a part of.
            total_patronage: i64,
            /// Credits.
            tokens_credited: i64,
            /// Credits in the treasury before the distribution.
            treasury_before: i64,
            /// The policy it was given under.
            policy: StrongRef,
            /// When it was given.
            created_at: String,
        }
        optional {}
    }

    /// A span of time.
    object Period {
        required {
            /// Its first moment.
            start: String,
            /// Its last moment.
            end: String,
        }
        optional {}
    }
}
