"""An audit: many images, one verdict, and a record that can be run again."""
