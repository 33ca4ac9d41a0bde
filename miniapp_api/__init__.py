"""The citizens' door: mini-program and mobile API under `/miniapp/v1`."""
