# Made by: mddae completion powershell
Register-ArgumentCompleter -Native -CommandName mddae -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $text = $commandAst.Extent.Text
    $at = $cursorPosition - $commandAst.Extent.StartOffset
    try {
        $Env:MDDAE_COMPLETE_LINE = $text.PadRight($at).Substring(0, $at)
        $Env:MDDAE_COMPLETE_REST = if ($at -lt $text.Length) { $text.Substring($at) } else { '' }
        $reply = @(& $commandAst.GetCommandName() 2>$null)
    } finally {
        Remove-Item Env:MDDAE_COMPLETE_LINE, Env:MDDAE_COMPLETE_REST -ErrorAction Ignore
    }
    $reply | Select-Object -Skip 1 | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        $typed = $value
        if ($value -match '[\s''"$`;,|&(){}@#]') { $typed = "'" + $value.Replace("'", "''") + "'" }
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new(
            $typed, $value, 'ParameterValue', $help)
    }
}
