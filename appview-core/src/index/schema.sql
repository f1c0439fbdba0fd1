-- The whole schema of an index file. There are no migrations: whoever finds another number in `user_version` rebuilds.
--
-- Written by the files of `index/` alone, read by `query/`. Nothing that is listed, ordered or added up comes from our clock or
-- from the order of arrival. The integers that stand for names differ between two indexes of the same repositories, so no
-- list sorts by them and nobody outside ever sees one. And the feed is about this index: when and in which order it learned
-- of changes. No list and no sum looks at `record.seq`, `record.rev`, `record.updated` or the tables `feed` and `feed_floor`.
--
-- Each secondary index costs some 4 microseconds a row, growing with the tree, and is therefore named with the question
-- that it answers. Bulk filling drops those that are not unique and makes them again at the end.

-- One row: a DID that some row names, be it a repository's own or one that a record mentions.
create table did (
    id  integer primary key,
    did text    not null unique
) strict;

-- One row: a collection that some record is in.
create table collection (
    id   integer primary key,
    nsid text    not null unique
) strict;

-- One row: the name of a model that some receipt names.
create table model (
    id   integer primary key,
    name text    not null unique
) strict;

-- One row: a repository that is followed. `rev` and `data` are the head of its proven chain, null before its first proof
-- and after its erasure; `rev` holds a TID's 63 bits, whose order as numbers is the order of revisions. `hosting` and
-- `proof` are the codes of `Hosting` and `Proof`: 0 is active, and 0 is full. While `proof` is 2, the repository is to be
-- proven anew; `proven` then says how well its head was before, null if nothing ever was.
--
-- The last four are what the index remembers for itself, by its own clock: when the head was last shown to be the newest,
-- since when the account has been hidden, and that the export could not be had `attempt` times and is due at `retry_at`.
create table repo (
    id      integer primary key references did (id),
    rev     integer,
    data    blob,
    hosting integer not null,
    proof   integer not null,
    proven  integer,
    proven_at integer,
    hidden_at integer,
    attempt   integer,
    retry_at  integer,
    check ((rev is null) = (data is null)),
    check (proven is null or (proof = 2 and rev is not null)),
    check ((attempt is null) = (retry_at is null))
) strict;

-- One row: a record of a followed repository, shown or not. `cid` is binary, `body` is the block as it was signed.
-- `served` is 1 exactly while the repository is active and the verdict (0 valid, 1 marked, 2 quarantined) is not 2. It
-- follows from `repo.hosting` and `verdict`, and is written out because a list would otherwise walk over the records of
-- every hidden repository, of which a spammer can leave millions. `seq` is the place in the feed of the last change of
-- what is served, null while it is not; `updated` is 1 if that change replaced a record that was served. `rev` is the
-- revision at which the record was proven here: its commit's, or that of the export which brought it.
create table record (
    id         integer primary key,
    repo       integer not null references repo (id),
    collection integer not null references collection (id),
    rkey       text    not null,
    cid        blob    not null check (length(cid) = 36),
    verdict    integer not null check (verdict in (0, 1, 2)),
    served     integer not null check (served in (0, 1)),
    seq        integer,
    rev        integer not null,
    updated    integer not null check (updated in (0, 1)),
    body       blob    not null,
    check ((seq is null) = (served = 0))
) strict;

-- Which record stands here? What does this repository hold, in the order of keys?
create unique index record_place on record (repo, collection, rkey);

-- What is the newest of this collection, over all repositories?
create index record_served on record (collection, rkey, repo) where served = 1;

-- What has changed after this place in the feed? Collection and repository are there so that a filter need not look at
-- the record.
create index record_seq on record (seq, collection, repo) where served = 1;

-- One row: a change that no record can tell, because it is gone or because it is about a whole account. Either a
-- deletion, with the place of the record and the revision without it, or what an account became: `hosting` is the code
-- of `Hosting`, and `erased` is 1 if its records are gone for good. `seq` is a place in the feed, as `record.seq` is:
-- microseconds since 1970, and no two are equal. Rows are removed when they are old, and with the account they are about.
create table feed (
    seq        integer primary key,
    repo       integer not null references did (id),
    collection integer references collection (id),
    rkey       text,
    rev        integer,
    hosting    integer,
    erased     integer not null default 0 check (erased in (0, 1)),
    check ((collection is null) = (hosting is not null)),
    check ((rkey is null) = (hosting is not null)),
    check ((rev is null) = (hosting is not null)),
    check (erased = 0 or hosting is not null)
) strict;

-- What is told of this account, all of which goes when it is erased?
create index feed_repo on feed (repo);

-- The one row, there from the first change on: whoever has read the feed to a place before `seq` may have missed
-- deletions, because their rows were removed, or because that place was in the feed of another file.
create table feed_floor (
    only_row integer primary key check (only_row = 1),
    seq      integer not null
) strict;

-- One row: a breach of its lexicon by a marked or quarantined record, at most 16 for each.
create table finding (
    record  integer not null references record (id) on delete cascade,
    ordinal integer not null,
    path    text    not null,
    rule    text    not null,
    message text    not null,
    primary key (record, ordinal)
) strict, without rowid;

-- The typed tables: one row for each served record of one collection, with what a list filters by or a statistic adds
-- up. A row is there exactly while its record is served, so that no statistic can forget who is hidden. A member that
-- can't be read is null. Collections without a filter beyond repository and key have no table: `record` is enough.
-- `rkey` and `provider` repeat the record's, so that an index can hold them.

-- One row: a served `dev.cocore.compute.receipt`. Times are microseconds since 1970. `job` stands for the URI: the 8
-- bytes of the TID in it, zeros if there is none, then the start of its BLAKE3. The 16 bytes of that are too long for
-- anyone to find two URIs that share them; the time before them keeps together what is written together, where the hash
-- alone would have each row change another page of the index.
create table receipt (
    record     integer primary key references record (id) on delete cascade,
    provider   integer not null references did (id),
    rkey       text    not null,
    requester  integer references did (id),
    job        blob,
    model      integer references model (id),
    started    integer,
    completed  integer,
    tokens_in  integer,
    tokens_out integer,
    price      integer,
    currency   text,
    tier       text,
    pro_bono   integer
) strict;

-- What was done for this requester, by this provider or by all?
create index receipt_requester on receipt (requester, rkey, provider) where requester is not null;

-- What was done for this job?
create index receipt_job on receipt (job, rkey) where job is not null;

-- One row: a served `dev.cocore.compute.settlement`. `receipt` stands for a URI as `receipt.job` does; `requester` is the
-- repository of the authorization that it draws on.
create table settlement (
    record    integer primary key references record (id) on delete cascade,
    rkey      text    not null,
    receipt   blob,
    requester integer references did (id)
) strict;

-- What was paid for this receipt?
create index settlement_receipt on settlement (receipt, rkey) where receipt is not null;

-- What was this requester charged?
create index settlement_requester on settlement (requester, rkey) where requester is not null;

-- One row: a served `dev.cocore.account.friend`.
create table friend (
    record  integer primary key references record (id) on delete cascade,
    rkey    text    not null,
    subject integer references did (id)
) strict;

-- Who trusts this account?
create index friend_subject on friend (subject, rkey) where subject is not null;

-- One row: a served `dev.cocore.account.profile` under the key `self`, hence at most one for each account. All share one
-- key, so they are listed by DID, whose text is repeated to be in an index.
create table profile (
    record       integer primary key references record (id) on delete cascade,
    did          text not null,
    handle       text,
    display_name text
) strict;

-- Which profiles are there, in the order of their accounts?
create index profile_did on profile (did);

-- One row: a served record that uses what should be used once: a job its nonce, a settlement its authorization, a receipt
-- the nonce of the broker that witnessed it. `mark` stands for the thing and for whose it is: 16 bytes of a BLAKE3, after
-- the time in the key of an authorization. `rkey` repeats the record's.
create table single_use (
    record integer primary key references record (id) on delete cascade,
    rkey   text    not null,
    mark   blob    not null
) strict;

-- Who else uses this?
create index single_use_mark on single_use (mark, rkey);

-- One row: the records of all active repositories in one collection, or in all of them in the row 0: the sum behind the
-- fingerprint, and their number by verdict. Quarantined records count: they are records of the repository.
create table tally (
    collection  integer primary key,
    sum         blob    not null check (length(sum) = 2048),
    valid       integer not null,
    marked      integer not null,
    quarantined integer not null
) strict;

-- One row: how far one endpoint's stream has been followed. Everything up to `seq` is in this file.
create table cursor (
    endpoint text    primary key,
    seq      integer not null
) strict, without rowid;

-- The one row: which set of lexicons the verdicts are by. While the records are being judged again, those with an id up
-- to `through` have been; null when all have.
create table judged (
    only_row   integer primary key check (only_row = 1),
    schema_set text    not null,
    through    integer
) strict;
