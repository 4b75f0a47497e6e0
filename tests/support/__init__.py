"""What tests of more than one folder share: material, servers, and ways to drive the product."""
