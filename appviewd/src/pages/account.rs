//! One account: what it did week by week, what it offers and orders, and who trusts it.

use appview_core::index::IndexReader;
use appview_core::query::{
    AccountProfile, IncomingFriend, Limit, PageCursor, QueryError, ReceiptFilter, WEEKS, WeekSeries,
};
use appview_core::syntax::{Datetime, Did, datetime_unix_micros};
use maud::{Markup, html};

use super::name::{Name, Names, Side};
use super::part::{
    Bars, Bin, Figure, Href, Moment, Series, Tick, bars, counted, day, figures, long_identifier, number,
};
use super::receipts::About;
use super::{List, Page, ROWS, Receipts, Section, Sheet, pager};

/// Accounts that are named of those who trust it.
const FRIENDS: i64 = 20;
/// Weeks between two names of an axis.
const WEEKS_BETWEEN: usize = 13;
/// One week, in microseconds.
const WEEK: i64 = 7 * 24 * 3_600_000_000;

/// What is found of an account.
#[derive(Debug)]
pub(crate) struct AccountPage {
    name: Name,
    profile: AccountProfile,
    friends: Vec<(Name, IncomingFriend)>,
    ordered: Receipts,
    is_first: bool,
}

impl AccountPage {
    /// Asks the index; nothing if it shows no record of the account.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub(crate) fn read(
        index: &IndexReader,
        did: &Did,
        cursor: Option<&PageCursor>,
        now: i64,
    ) -> Result<Option<Self>, QueryError> {
        let Some(profile) = index.profile(did, now.cast_unsigned())? else { return Ok(None) };
        let names = Names::of(index);
        let filter = ReceiptFilter { requester: Some(did.clone()), ..ReceiptFilter::default() };
        let page = index.list_receipts(&filter, Limit::clamp(ROWS), cursor)?;
        let friends = index.list_incoming_friends(did, Limit::clamp(FRIENDS), None)?;
        let named = |friend: IncomingFriend| Ok((names.name(&friend.friender)?, friend));
        Ok(Some(Self {
            name: names.name(did)?,
            friends: friends.items.into_iter().map(named).collect::<Result<_, QueryError>>()?,
            ordered: Receipts::read(index, &names, page.items, page.cursor)?,
            is_first: cursor.is_none(),
            profile,
        }))
    }

    fn href(&self) -> Href {
        Href::to("/u/", self.profile.did.as_str())
    }

    fn figures(&self) -> Markup {
        let profile = &self.profile;
        let since = |moment: &Option<Datetime>, word: &str| {
            moment.as_ref().map_or_else(String::new, |moment| format!("{word} {}", day(moment.unix_micros())))
        };
        let count = |count: u64| number(count.cast_signed());
        let on = profile.machines.iter().filter(|machine| machine.active != Some(false)).count() as i64;
        figures(&[
            Figure::new("Jobs ordered", count(profile.job_count))
                .saying(since(&profile.joined_at, "first record")),
            Figure::new("Receipts given", count(profile.receipt_count))
                .saying(since(&profile.last_activity_at, "last active")),
            Figure::new("Machines", number(profile.machines.len() as i64)).saying(match on {
                0 => "none is switched on".to_owned(),
                on => counted(on, "is switched on", "are switched on"),
            }),
            Figure::new("Trusted by", count(profile.incoming_friends_count)).saying("accounts that say so"),
        ])
    }

    fn weeks(&self) -> Markup {
        let WeekSeries {
            oldest_week_start,
            jobs_dispatched,
            receipts_served,
            machines_indexed_cumulative,
            tokens_indexed,
            trusted_by_new,
        } = &self.profile.week_series;
        let oldest = datetime_unix_micros(&format!("{oldest_week_start}T00:00:00Z")).unwrap_or(0);
        let start = |week: usize| day(oldest + WEEK * week as i64);
        let short =
            |week: usize| start(week).rsplit_once(' ').map_or_else(String::new, |(day, _)| day.to_owned());
        let ticks: Vec<Tick> = (0..WEEKS).step_by(WEEKS_BETWEEN).map(short).map(Tick::new).collect();
        let chart = |id, title, unit, values: &[i64]| {
            let bins = values.iter().enumerate();
            let bins = bins
                .map(|(week, value)| Bin { name: format!("week of {}", start(week)), values: vec![*value] });
            bars(&Bars {
                id,
                title,
                note: format!("{} in 52 weeks", number(values.iter().sum())),
                unit,
                series: &[Series { name: "" }],
                bins: &bins.collect::<Vec<_>>(),
                ticks: &ticks,
                is_open: true,
                is_low: true,
            })
        };
        let has = |values: &[i64]| values.iter().any(|value| *value != 0);
        let charts = [
            ("jobs", "Jobs ordered", "jobs", jobs_dispatched),
            ("served", "Receipts given", "receipts", receipts_served),
            ("tokens", "Tokens served", "tokens", tokens_indexed),
            ("trusted", "Newly trusted by", "accounts", trusted_by_new),
        ];
        let offered = machines_indexed_cumulative.last().copied().unwrap_or(0);
        html! {
            section aria-labelledby="h-weeks" {
                div.head {
                    h2 #h-weeks { "Week by week" }
                    span.small.soft { "52 weeks, the last still open" }
                }
                div.multi {
                    @for (id, title, unit, values) in charts {
                        @if has(values) { (chart(id, title, unit, values)) }
                    }
                }
                @if offered > 0 {
                    p.small.soft.gap { (counted(offered, "machine record", "machine records")) " up to now." }
                }
            }
        }
    }

    fn trusted(&self) -> Markup {
        let more = self.profile.incoming_friends_count.saturating_sub(self.friends.len() as u64);
        html! {
            section aria-labelledby="h-trust" {
                h2 #h-trust { "Trusted by" }
                @if self.friends.is_empty() { p.note.small.soft { "Nobody has said so." } }
                ul.list {
                    @for (name, friend) in &self.friends {
                        li {
                            (name.link(Side::Person)) " "
                            span.soft.small {
                                "since "
                                @match datetime_unix_micros(&friend.created_at) {
                                    Ok(micros) => (Moment::InTable(micros).markup()),
                                    Err(_) => (friend.created_at),
                                }
                            }
                        }
                    }
                }
                @if more > 0 { p.small.soft { "and " (number(more.cast_signed())) " more" } }
            }
        }
    }

    fn machines(&self) -> Markup {
        html! {
            section aria-labelledby="h-machines" {
                div.head {
                    h2 #h-machines { "Machines" }
                    a.small href=(Href::to("/provider/", self.profile.did.as_str())) { "As a provider" }
                }
                ul.list {
                    @for machine in &self.profile.machines {
                        li {
                            (machine.machine_label.as_deref().unwrap_or("a machine without a name")) " "
                            span.soft.small {
                                (machine.chip.as_deref().unwrap_or("–"))
                                @if let Some(gigabytes) = machine.ram_gb { ", " (number(gigabytes)) " GB" }
                                ", " (counted(machine.supported_models.len() as i64, "model", "models"))
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Page for AccountPage {
    fn receipts(&mut self) -> Option<&mut Receipts> {
        Some(&mut self.ordered)
    }

    fn list(&self) -> Option<List> {
        let next = self.ordered.cursor.as_ref();
        let next = next.map(|cursor| self.href().with("cursor", Some(cursor.to_string())));
        Some(List { name: "receipts".to_owned(), table: self.ordered.table(About::Requester), next })
    }

    fn sheet(&self) -> Sheet {
        let title = self.name.text();
        let profile = &self.profile;
        let main = html! {
            h1.break { (title) }
            p.small.soft { (long_identifier(profile.did.as_str(), "DID")) }
            @if let Some(name) = &profile.display_name { p.lede { (name) } }
            @if let Some(bio) = &profile.bio { p.prose.gap.break { (bio) } }
            (self.figures())
            (self.weeks())
            div.cols {
                @if !profile.machines.is_empty() { (self.machines()) }
                (self.trusted())
            }
            section aria-labelledby="h-receipts" {
                div.head {
                    h2 #h-receipts { "Done for this account" }
                    a.small href=(self.href().with("format", Some("csv"))) { "CSV" }
                }
                (self.ordered.table(About::Requester).markup())
                (pager(&self.href(), self.is_first, self.ordered.cursor.as_ref()))
            }
            p.note.small.soft.gap {
                "Handle, name and text are what the account's own profile says; nobody has checked them. "
                "Its picture would be fetched from another host, and is not shown."
            }
        };
        Sheet { title, section: Section::Elsewhere, every: None, main }
    }
}
