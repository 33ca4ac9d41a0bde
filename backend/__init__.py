"""Tanhui 碳惠: a city's low-carbon points platform. See docs/architecture.md for the map."""
