"""The page on which people mark where delivered pictures differ in meaning from their photographs."""
