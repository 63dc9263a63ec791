//! Running long processes: the runner, timers, the payment worker and the gateways.
