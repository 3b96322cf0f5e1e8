"""The page of `report`: one HTML file that shows recorded states and needs no network."""
