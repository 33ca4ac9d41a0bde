"""The only place where modules meet: each file reads as the sentence it is named after."""
