# The commands of this project. `just` alone is what .ci/run checks of the code; `just ci` is all of it.

export RUSTDOCFLAGS := "-D warnings"

default: fmt clippy test doc

# Fails where a file is not formatted.
fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

test:
    cargo test --locked --workspace

doc:
    cargo doc --locked --workspace --no-deps

# Everything, in the order and the form of the continuous integration.
ci:
    .ci/run

# See the whole thing work, without a network.
demo *args:
    cargo run --locked --release -- demo {{args}}

# Hold the daemon against the official PDS and PLC directory. Needs Node 20 and npm, which installs them the first time.
real-network:
    cargo test --locked --workspace --test real_network --test real_people -- --ignored

# Let the engine live in simulated networks, as many as wanted of both kinds, e.g. `just simulate 5000` or `just simulate 7..8`.
simulate seeds='10000':
    APPVIEW_SEEDS={{ if seeds =~ '\.\.' { seeds } else { '0..' + seeds } }} \
        cargo test --locked --release -p appview-core --features net --test simulation -- --nocapture --test-threads 1

# Plant faults of one line, one by one, and see a test turn red for each. Words of a story choose some.
mutants *words:
    cargo run --locked --quiet -p fixtures --bin mutants -- {{words}}

# The promises to people, each with whether it is kept.
promises:
    cargo run --locked --quiet -p fixtures --bin promises

# Throw mutated bytes at every decoder, a minute each. Needs cargo-fuzz and a nightly toolchain.
[working-directory: 'appview-core']
fuzz seconds='60':
    for target in $(cargo +nightly fuzz list); do \
        cargo +nightly fuzz run "$target" -- -max_total_time={{seconds}} || exit 1; \
    done

# Measure. Note the machine and the date beside the numbers.
bench *args:
    cargo bench --locked -p appview-benches {{args}}

# Write a relay's next frames to a file, e.g. `just record wss://relay.example 1000 week.frames`.
record relay frames='1000' file='recording.frames':
    cargo run --locked --release -- record --relay {{relay}} --frames {{frames}} > {{file}}

# Licences, bans, sources and advisories of all dependencies. Needs cargo-deny.
deny:
    cargo deny --locked check
